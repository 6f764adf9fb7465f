"""The options of a model that commands share, and the estimator they ask for."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any, get_args

from jax_depth.catalog import ALIASES
from jax_depth.cli.compilation_cache import use_compilation_cache
from jax_depth.cli.usage import UsageError, loading_models, positive
from jax_depth.config import Resample

DEFAULT_MODEL = "tiny"
ENCODERS = ("vits", "vitb", "vitl", "vitg")


def add_model_options(group: argparse._ArgumentGroup) -> None:
    """Declare which model, and how it sees photos and computes."""
    model = group.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        help="a name from `jax-depth models`; the same after random:, for random"
        f" weights; or a folder with weights (default: {DEFAULT_MODEL}, "
        "which comes with the package)",
    )
    model.add_argument(
        "--encoder",
        choices=ENCODERS,
        help="a Depth Anything V2 model by its encoder, as in the original run.py",
    )
    group.add_argument(
        "--weights",
        "--load-from",
        metavar="FILE",
        help="load the weights of --model or --encoder from this .pth or "
        ".safetensors file",
    )
    group.add_argument(
        "--size",
        "--input-size",
        type=positive,
        metavar="PIXELS",
        help="short side at which the network sees a photo; for depth-anything-3"
        " and prompt models the long side (default: the model's own, 518 "
        "for V1 and V2)",
    )
    add_resample_option(group)
    add_dtype_option(group)
    group.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="photos per forward pass (default: 1 per CPU device, 8 per GPU or TPU)",
    )


def add_resample_option(group: argparse._ActionsContainer) -> None:
    """Declare `--resample`."""
    group.add_argument(
        "--resample",
        choices=get_args(Resample),
        help="how photos are resized: as in the original code, as in "
        "transformers, or as in Depth Anything 3's code (*_bound_*) or "
        "Prompt's (shrink_area); default: the model's own",
    )


def add_dtype_option(group: argparse._ActionsContainer) -> None:
    """Declare `--dtype`."""
    group.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="precision the network computes in (default: %(default)s)",
    )


def add_engine_option(group: argparse._ActionsContainer) -> None:
    """Declare `--engine`."""
    group.add_argument(
        "--engine",
        choices=("xla", "openvino", "auto"),
        default="xla",
        help="what runs the network: xla, on any platform of JAX; openvino, "
        "often faster on a CPU, with the package of that name; auto, "
        "whichever `jax-depth bench` found fastest here (default: "
        "%(default)s)",
    )


def add_draft_option(group: argparse._ActionsContainer) -> None:
    """Declare `--draft`."""
    group.add_argument(
        "--draft",
        action="store_true",
        help="decode large JPEGs, both sides more than twice the network's "
        "input, at 1/2, 1/4 or 1/8 of their size: faster, less exact",
    )


def add_program_options(group: argparse._ArgumentGroup) -> None:
    """Declare how memory and programs are kept."""
    group.add_argument(
        "--executables",
        type=Path,
        metavar="FOLDER",
        help="folder of programs that `jax-depth export --executable` compiled "
        "on this machine",
    )
    group.add_argument(
        "--keep-memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep freed memory for the next photo, which saves 10 to 40 %% of the CPU "
        "time and costs about 200 MB (default: on)",
    )


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """What a command line says about a model; fields are named as the options are.

    A command that declares only some of the options gets the defaults of the others.
    """

    model: str | None = None
    encoder: str | None = None
    weights: str | None = None
    size: int | None = None
    resample: Any = None
    dtype: Any = "float32"
    batch_size: int | None = None
    engine: Any = "xla"
    executables: Path | None = None
    keep_memory: bool = True
    prompt: Path | None = None
    draft: bool = False

    @classmethod
    def of(cls, args: argparse.Namespace) -> "ModelOptions":
        """Take them from a parsed command line."""
        given = vars(args)
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: given[name] for name in names if name in given})

    def source(self) -> tuple[str, str | None]:
        """Return what to load and, where that is a file, which model it holds.

        Raises:
            UsageError: the weights do not exist.
        """
        name = ALIASES[self.encoder] if self.encoder else self.model
        if self.weights is None:
            return DEFAULT_MODEL if name is None else name, None
        if not os.path.exists(self.weights):
            raise UsageError(f"--weights: '{self.weights}' does not exist")
        # Without a name the file must say itself what it holds.
        return self.weights, name

    def estimator(self) -> Any:
        """Return the model that was asked for, with the compilation cache on.

        Raises:
            UsageError: a name, a file or an option that makes no model.
        """
        use_compilation_cache()
        import jax_depth
        from jax_depth.inference.prompted import (
            check_takes_prompts,
            refuse_without_prompt,
        )

        source, model = self.source()
        with loading_models():
            estimator = jax_depth.load(
                source,
                model=model,
                dtype=self.dtype,
                size=self.size,
                resample=self.resample,
                batch_size=self.batch_size,
                engine=self.engine,
                keep_memory=self.keep_memory,
                draft=self.draft,
            )
            if self.prompt is None:
                refuse_without_prompt(estimator.config)
            else:
                check_takes_prompts(estimator)
            self._use_programs(estimator)
        return estimator

    def _use_programs(self, estimator: Any) -> None:
        """Let an estimator take its programs from a folder.

        Unless the user names one, programs for a CPU are kept beside the cached
        weights: jax's own cache saves the compilation alone, this also tracing and the
        import of Flax.
        """
        from jax_depth.cli.compilation_cache import executables_folder
        from jax_depth.inference.engines.programs import ExecutableFolder

        folder = self.executables
        if folder is not None:
            if not folder.is_dir():
                raise UsageError(
                    f"--executables: '{folder}' is not a folder; make it with "
                    f"`jax-depth export --executable -o '{folder}'`"
                )
            estimator.compile = ExecutableFolder(folder, estimator.compile, strict=True)
        elif estimator.engine == "xla" and (cache := executables_folder()):
            estimator.compile = ExecutableFolder(cache, estimator.compile)


def load_estimator(args: argparse.Namespace) -> Any:
    """Return the model that a command line asks for; see `ModelOptions.estimator`."""
    return ModelOptions.of(args).estimator()
