// What the theme leaves out for keyboards and screen readers: a name for the search, and
// a way for the keyboard to scroll what is wider than its column.
(() => {
  const reach = () => {
    const boxes = document.querySelectorAll("pre > code, .md-typeset__scrollwrap");
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  const begin = () => {
    for (const search of document.querySelectorAll(".md-search[role=dialog]"))
      search.setAttribute("aria-label", "Search");
    reach();
  };
  addEventListener("DOMContentLoaded", begin);
  addEventListener("load", begin); // with the tables that the theme has wrapped by then
  addEventListener("resize", reach);
})();
