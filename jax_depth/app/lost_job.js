// A job ends when its page is left or loaded anew; the page that comes next says so.
(() => {
  const KEY = "jax_depth lost job";

  addEventListener("pagehide", () => {
    if (document.querySelector("progress")) sessionStorage.setItem(KEY, "yes");
  });

  // Gradio adds this script when its page is there already.
  if (!sessionStorage.getItem(KEY)) return;
  sessionStorage.removeItem(KEY);
  const line = document.createElement("p");
  line.id = "lost-job";
  line.setAttribute("role", "status");
  line.textContent =
    "The photos or the video in work were stopped when this page was left or loaded " +
    "anew, and what they gave is gone. Start them again.";
  document.body.prepend(line);
})();
