"""One table to be measured: check what the command line asks for, and run it."""

import dataclasses
import datetime
import shlex
import tempfile
from pathlib import Path
from typing import Literal

from benchmarks import jobs, machine, session, workspace
from benchmarks.catalog import chosen
from benchmarks.results import Table
from benchmarks.session import Say
from benchmarks.task import Task
from jax_depth.catalog import ALIASES, MODELS
from jax_depth.models.flops import forward_flops

Job = Literal["forward", "start", "folder", "train"]
DEFAULT_MODEL = "depth-anything-v2-small"
# Forward and backward: gradients of activations and of weights cost one pass each.
_TRAIN_PASSES = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """The options of one call of `rivals`, under the same names.

    Attributes:
        model: catalogue name or alias of a model with a head.
        size: (height, width) in pixels; None for the model's own square. For "start",
            the photo's size, at which it is then processed.
        batch: pictures in one call.
        rounds: turns per contender.
        contenders: names, in the order of their turns; None for all.
        job: "forward", or a whole job.
        photos: of the "folder" job.
    """

    model: str = DEFAULT_MODEL
    size: tuple[int, int] | None = None
    batch: int = 1
    rounds: int = 7
    contenders: tuple[str, ...] | None = None
    job: Job = "forward"
    photos: int = 64

    def check(self) -> None:
        """Raise a ValueError of one sentence for what cannot be run."""
        name = ALIASES.get(self.model, self.model)
        if name not in MODELS:
            raise ValueError(
                f"there is no model {self.model!r}; see `jax-depth models`"
            )
        config = MODELS[name].config
        if config.head is None:
            raise ValueError(f"{name} is only an encoder and predicts no depth")
        patch = config.encoder.patch_size
        for side in self.shape if self.job in ("forward", "train") else ():
            if side < patch or side % patch:
                low = max(side // patch, 1) * patch
                raise ValueError(
                    f"--size {side} is not a multiple of {patch}, {name}'s patch; use "
                    f"{low} or {low + patch}"
                )
        if self.job in ("start", "folder") and self.batch != 1:
            raise ValueError(
                f"--job {self.job} works photo by photo; leave --batch out"
            )
        if self.job == "folder" and self.size is not None:
            raise ValueError("--job folder has photos of many sizes; leave --size out")
        if self.job in ("start", "folder"):
            jobs.chosen(self.job, self.contenders)
        else:
            chosen(self.work, self.contenders)

    @property
    def name(self) -> str:
        """The model's catalogue name."""
        return ALIASES.get(self.model, self.model)

    @property
    def work(self) -> Literal["forward", "train"]:
        """What contenders do at each turn."""
        return "train" if self.job == "train" else "forward"

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        if self.size is not None:
            return self.size
        config = MODELS[self.name].config
        patch = config.encoder.patch_size
        side = config.image_size // patch * patch
        return side, side

    @property
    def command(self) -> str:
        """The command that makes this table."""
        words = ["python", "scripts/benchmarks", "rivals", "--model", self.model]
        height, width = self.shape
        if self.job in ("forward", "train") or self.size is not None:
            side = str(height) if height == width else f"{height}x{width}"
            words += ["--size", side]
        if self.job in ("forward", "train"):
            words += ["--batch", str(self.batch)]
        if self.job != "forward":
            words += ["--job", self.job]
        if self.job == "folder":
            words += ["--photos", str(self.photos)]
        words += ["--rounds", str(self.rounds)]
        if self.contenders is not None:
            words += ["--contenders", ",".join(self.contenders)]
        return shlex.join(words)

    @property
    def title(self) -> str:
        """A heading."""
        height, width = self.shape
        if self.job == "start":
            photo = ""
            if self.size is not None:
                photo = f", a photo of {width} x {height}, the network at its full size"
            return f"{self.name}: process start to one depth file{photo}"
        if self.job == "folder":
            return f"{self.name}: a folder of {self.photos} photos to depth files"
        what = "training step" if self.job == "train" else "pixels to depth"
        return f"{self.name}: {what}, {height}x{width}, batch {self.batch}"

    def run(self, say: Say, folder: Path | None = None) -> Table:
        """Measure.

        Args:
            say: called with lines of progress.
            folder: where weights are kept between tables; None to keep none.

        Raises:
            ValueError: as `check`.
            WorkerError: weights could not be prepared.
        """
        self.check()
        if folder is None:
            with tempfile.TemporaryDirectory() as temporary:
                return self._run(say, Path(temporary))
        return self._run(say, folder)

    def _run(self, say: Say, folder: Path) -> Table:
        height, width = self.shape
        place = str(folder / self.name)
        task = Task(place, self.name, height, width, self.batch, self.work)
        workspace.prepare(task)
        meter = machine.Meter()
        if self.job in ("start", "folder"):
            contenders = jobs.chosen(self.job, self.contenders)
            turns, photos = self.rounds, self.photos
            rows = jobs.run(task, self.job, contenders, turns, photos, self.size, say)
        else:
            names = self.contenders
            rows = session.run(task, chosen(self.work, names), self.rounds, say)
            flops = forward_flops(MODELS[self.name].config, height, width)
            for row in rows:
                passes = _TRAIN_PASSES if self.job == "train" else 1
                row.flops = float(passes * self.batch * flops)
        return Table(
            title=self.title,
            command=self.command,
            rows=rows,
            date=datetime.date.today().isoformat(),
            machine=machine.describe(),
            versions=machine.versions(),
            columns="job" if self.job in ("start", "folder") else "forward",
            others=meter.others(),
        )
