"""`load` and `Estimator`: pictures of any size in, depth maps of the same size out."""

import contextlib
import numbers
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, cast, overload

import jax
import numpy as np
from PIL.Image import Image as Picture

from jax_depth._forked import InForkedChild, check_process, is_forked
from jax_depth._typing import Float32, Params
from jax_depth.config import Dtype, ModelConfig, Resample, Restore
from jax_depth.depth_map import DepthMap, MapKind
from jax_depth.formats.image import check_source
from jax_depth.formats.reduced import shape_of
from jax_depth.inference import bounded
from jax_depth.inference.clip import clip
from jax_depth.inference.draft import read_for
from jax_depth.inference.engines import Engine, EngineChoice, Runs, check_engine
from jax_depth.inference.engines.int8 import Int8, read_int8
from jax_depth.inference.engines.openvino import OpenVinoEngine
from jax_depth.inference.engines.xla import Compile, XlaEngine
from jax_depth.inference.focal import finish_bounded
from jax_depth.inference.memory import keep_freed_memory
from jax_depth.inference.preprocess import (
    MAX_TOKENS,
    check_options,
    from_network,
    preprocess,
    served,
)
from jax_depth.inference.prompted import prompted, refuse_without_prompt
from jax_depth.inference.recommended import resolved
from jax_depth.inference.stream import collected, item_of, name_of, stream
from jax_depth.inference.views import views
from jax_depth.models.arguments import check_config, check_params
from jax_depth.models.output import Output
from jax_depth.weights import read_params


def load(
    name: str | os.PathLike,
    dtype: Dtype = "float32",
    size: int | None = None,
    resample: Resample | None = None,
    *,
    model: str | ModelConfig | None = None,
    batch_size: int | None = None,
    devices: Sequence[Any] | None = None,
    engine: EngineChoice = "xla",
    keep_memory: bool = False,
    draft: bool = False,
) -> "Estimator":
    """Load a model by name or from a file, ready to be called with pictures.

    Args:
        name: a name in `MODELS` ("tiny" is bundled); a folder written by jax_depth or
            by transformers; or a weight file (`.pth`, `.pt`, `.bin`, `.ckpt`,
            `.safetensors`), published or fine-tuned, together with `model`.
        dtype: "float32", or "bfloat16" to compute matrix products and convolutions in
            bfloat16.
        size: short side in pixels at which pictures are processed; by default the
            model's own, 518 for Depth Anything. Larger gives finer detail. For Depth
            Anything 3 the long side, 504 by default; for Prompt Depth Anything the
            maximum long side, 1008 by default (smaller pictures are not enlarged).
        resample: "original" preprocesses as the authors' code, "transformers" as
            transformers' processor; by default the model's own, the authors' for every
            published one.
        model: for a weight file, the model it holds or was fine-tuned from: a name, or
            a config with your own `max_depth`, which no file records
            (`dataclasses.replace(MODELS[name].config, max_depth=10.0)`).
        batch_size, devices, engine, draft: see `Estimator`.
        keep_memory: stop the C library from returning freed memory to the system. On
            Linux this cuts XLA's CPU time by 10 to 40 %. It affects the whole process,
            permanently, and increases its memory use; see `keep_freed_memory`.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: the weights cannot be found,
            read or told apart; or from `Estimator`.
    """
    check_engine(engine)
    if keep_memory:
        keep_freed_memory()
    params, config = read_params(name, model=model, dtype=dtype)
    int8 = None if model is not None else read_int8(name)
    if int8 is not None:
        print(int8.sentence, file=sys.stderr)
    return Estimator(
        params,
        config,
        size=size,
        resample=resample,
        batch_size=batch_size,
        devices=devices,
        engine=engine,
        draft=draft,
        int8=int8,
    )


class Estimator:
    """A model with its parameters on the devices and its compiled programs.

    Pictures are grouped by the exact size they are processed at, because padding
    one would change its depth. Each (batch, height, width) is compiled once; with XLA,
    batches are padded to a power of two, so a size costs at most
    log2(batch_size) + 1 compilations.

    When an estimator is pickled, deep-copied or sent to a worker process that was not
    forked (multiprocessing's "spawn", joblib, Ray), its weights are copied and its
    programs recompiled. In a forked child it raises RuntimeError.

    Attributes:
        config: the model.
        size: as in `load`.
        resample: "original" or "transformers".
        restore: how maps come back to their pictures' sizes, see `ModelConfig`.
        batch_size: pictures of one size that are run together.
        engine: "xla" or "openvino".
        draft: whether large JPEGs are decoded smaller than they are.
        int8: None, or the int8 settings with their measured error.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        *,
        size: int | None = None,
        resample: Resample | None = None,
        batch_size: int | None = None,
        devices: Sequence[Any] | None = None,
        engine: EngineChoice = "xla",
        draft: bool = False,
        int8: Int8 | None = None,
    ):
        """Place parameters on the devices. `jax_depth.load` usually does this.

        Args:
            params: plain nested dict.
            config: the model; must have a head.
            size: as in `load`; None for the model's own.
            resample: preprocessing protocol, as in `load`; None for the model's own.
            batch_size: None for 1 per CPU device and 8 per GPU or TPU.
            devices: None for all local ones; XLA splits each batch over them.
            engine: "xla" runs on every platform of JAX. "openvino" runs the same
                network, translated from `forward`, on the CPU and needs the package of
                that name; `jax_depth.inference.engines.openvino` says how its results
                differ. "auto" is what `jax-depth bench` found fastest for this model
                and dtype on this machine, with its batch size unless one is given, and
                XLA if nothing was measured; a line on stderr says which was chosen.
            draft: decode JPEG files that are more than twice as large as the network's
                input at 1/2, 1/4 or 1/8 scale. This saves most of the time and changes
                maps slightly (docs/faster.md); they keep the photo's own size.
            int8: int8 settings, which imply OpenVINO whatever `engine` says; `load`
                reads them from a folder written by `jax-depth quantize`.

        Raises:
            TypeError, ValueError: no parameters or config, a bare encoder, an unknown
                `resample`, an engine that is not there, a size or batch size below 1.
        """
        check_config(config)
        check_params(params)
        if config.head is None:
            raise ValueError(
                f"model {config.name!r} is a bare encoder and predicts no depth; use "
                "jax_depth.load_params and jax_depth.features"
            )
        self.config = config
        self._given_resample = resample
        self._served = served(config, size, resample)
        self.size = self._served.image_size
        self.resample: Resample = self._served.resample
        check_options(self.size, self.resample, config.encoder.patch_size)
        self.restore: Restore = self._served.restore
        self.draft = draft
        whole = isinstance(batch_size, numbers.Integral | None)
        if not whole or (batch_size is not None and batch_size < 1):
            raise ValueError(f"batch size {batch_size!r} is not a whole number above 0")
        check_engine(engine)
        self.int8 = int8
        if int8 is not None:
            engine = "openvino"
        elif engine == "auto":
            way, sentence = resolved(config, only_xla=devices is not None)
            print(sentence, file=sys.stderr)
            engine = cast(Engine, way.engine)
            batch_size = batch_size or way.batch_size
        self.engine: Engine = engine
        if int8 is not None:
            self._engine = OpenVinoEngine(params, config, devices, int8.changes)
        else:
            self._engine = _ENGINES[engine](params, config, devices)
        self.batch_size = batch_size or self._engine.batch_size

    @property
    def params(self) -> Params:
        """Plain nested dict of arrays, as the engine holds them.

        XLA: on the devices, and under bfloat16 with the kernels of products rounded,
        see `jax_depth.weights.rounded_kernels`; `forward` gives the same bits from
        them. `read_params` gives float32. OpenVINO: float32 NumPy arrays.
        """
        return self._engine.params

    @property
    def compile(self) -> Compile:
        """The function that compiles the program for a new size; may be replaced."""
        return self._xla.compile

    @compile.setter
    def compile(self, compile: Compile) -> None:
        self._xla.compile = compile

    @property
    def _xla(self) -> XlaEngine:
        if isinstance(self._engine, XlaEngine):
            return self._engine
        raise ValueError(
            f"engine {self.engine!r} cannot save or load compiled programs; use engine "
            "'xla'"
        )

    @overload
    def __call__(
        self, images: list[Any] | tuple[Any, ...], camera: Any = None
    ) -> list[DepthMap]: ...
    @overload
    def __call__(
        self,
        images: str | os.PathLike | Picture | np.ndarray | jax.Array,
        camera: Any = None,
    ) -> DepthMap: ...
    def __call__(self, images: Any, camera: Any = None) -> Any:
        """Predict depth for one picture, or for a list of pictures of any sizes.

        Args:
            images: a path, a PIL image, or an array (h, w, 3) RGB, uint8 or float
                in [0, 1] (`jax_depth.formats.image.read_image` takes more); or a list
                or tuple of those. OpenCV's arrays are BGR: pass `image[..., ::-1]`.
            camera: `Intrinsics` of the pictures, in their pixels, for models that need
                a focal length to give metres. By default the focal length is read from
                a file's EXIF data; without one the map is "depth" and has no unit.

        Returns:
            A `DepthMap` at the picture's own size, or a list of them in order.

        Raises:
            FileNotFoundError, ValueError, OSError: a picture cannot be read; the
                message names it. Missing, empty and unreadable files are found before
                the first picture is computed. If a later file proves damaged, the
                exception's attribute `maps` holds the maps finished so far, None for
                the others.
        """
        if not isinstance(images, (list, tuple)):
            picture = read_for(self, images)
            pixels = self.prepare(picture, name=name_of(images))
            output = item_of(jax.device_get(self.run(pixels)), 0)
            return self.finish(output, shape_of(picture), camera, images)
        for image in images:
            check_source(image)
        with contextlib.closing(self.stream(images, camera=camera)) as results:
            return collected(results, len(images))

    def stream(
        self,
        items: Iterable[Any],
        *,
        read: Callable[[Any], Any] | None = None,
        camera: Any = None,
        threads: int | None = None,
    ) -> Generator[tuple[Any, DepthMap | Exception]]:
        """Predict depth for a stream of any number of pictures, in order.

            for path, depth in estimator.stream(folder.iterdir()):
                if isinstance(depth, Exception):
                    print(depth)                # names the picture
                else:
                    depth.save(out / f"{path.stem}.png")

        Pictures are decoded and prepared ahead in as many threads as there are cores,
        and a few batches are in memory at a time, so `items` may be endless. A picture
        that fails does not affect the others.

        Args:
            items: pictures as `__call__` takes them, or anything from which `read`
                makes one. The iterator runs in the caller's thread; an exception that
                it raises is raised here, after the results of earlier items.
            read: item -> picture; called in the threads.
            camera: as in `__call__`.
            threads: to read and prepare in.

        Yields:
            Pairs (item, result), where the result is a `DepthMap` or the exception that
            was raised for that item. Closing the generator ends its threads.
        """
        check_process()
        if not isinstance(threads, int | None) or (threads is not None and threads < 1):
            raise ValueError(f"threads {threads!r} is not a whole number above 0")
        refuse_without_prompt(self.config)

        def finish(output: Output, shape: tuple[int, int], image: Any) -> DepthMap:
            return self.finish(output, shape, camera, image)

        return stream(
            items, self, read=read, finish=finish, threads=threads, with_source=True
        )

    def prepare(
        self,
        picture: Any,
        *,
        size: int | None = None,
        max_tokens: int = MAX_TOKENS,
        name: str | None = None,
    ) -> Float32[np.ndarray, "1 h w 3"]:
        """Return a picture, resized and normalised, ready for `run`.

        Args:
            picture: as in `__call__`, or as returned by `read_for`.
            size: short side in pixels, instead of the estimator's.
            max_tokens: refuse pictures that have more patches than this.
            name: what error messages call the picture; its path by default.

        Raises:
            FileNotFoundError, ValueError, OSError: as when called with the picture.
        """
        config = self._served if size is None else served(self._served, size)
        return preprocess(picture, config, max_tokens=max_tokens, name=name)

    prompted = prompted
    clip = clip
    views = views

    def run(self, pixels: Float32[np.ndarray, "b h w 3"], prompt: Any = None) -> Output:
        """Run the model on pixels: (b, h, w, 3) -> `Output` of (b, h, w) float32.

        Compiled once for each batch and picture size. XLA returns arrays on the
        devices without waiting for the result. `prompt` as in `jax_depth.apply`.
        """
        if prompt is not None:
            result = self._engine.run(pixels, prompt)
        else:
            refuse_without_prompt(self.config)
            result = self._engine.run(pixels)
        # Engines return depth alone where a model predicts nothing more.
        return result if isinstance(result, Output) else Output(result)

    def finish(
        self,
        output: Output,
        shape: tuple[int, int],
        camera: Any = None,
        image: Any = None,
    ) -> DepthMap:
        """Resize the output of `run` for one picture to that picture's size.

        Args:
            output: for one picture: NumPy arrays (h, w).
            shape: rows and columns of the picture.
            camera: as in `__call__`.
            image: the picture, from whose file the focal length is read.
        """
        if self.resample in bounded.METHODS:
            return finish_bounded(self, output, shape, camera, image)
        return DepthMap(
            from_network(np.asarray(output.depth), self._served, shape),
            kind=cast(MapKind, self.config.kind),  # a head never has "features"
            unit="m" if self.config.kind == "metric_depth" else None,
            model=self.config.name,
            max_depth=self.config.max_depth,
        )

    def depth_map(
        self, values: Float32[np.ndarray, "h w"], shape: tuple[int, int]
    ) -> DepthMap:
        """Do as `finish`, for depth only."""
        return self.finish(Output(values), shape)

    @property
    def compilations(self) -> int:
        """How many programs are compiled and kept, at most 32."""
        return self._engine.compilations

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle the weights as NumPy arrays, and the options.

        The copy has the devices of the process that makes it and compiles its
        programs again; `compile` is not sent.
        """
        options = {
            "size": self.size,
            # As given: a protocol given by hand decides the way back too.
            "resample": self._given_resample,
            "batch_size": self.batch_size,
            "engine": self.engine,
            "draft": self.draft,
            "int8": self.int8,
        }
        check_process()
        params = jax.tree.map(np.asarray, self.params)
        return _restored, (type(self), params, self.config, options)

    def __repr__(self) -> str:
        return (
            f"Estimator({self.config.name}, {self.config.kind}, size {self.size}, "
            f"{self.config.dtype if self.int8 is None else self.int8})"
        )


def _restored(
    kind: type[Estimator],
    params: Params,
    config: ModelConfig,
    options: Mapping[str, Any],
) -> Estimator | InForkedChild:
    """Return the estimator that was pickled or copied."""
    if is_forked():
        return InForkedChild()
    return kind(params, config, **options)


_ENGINES: Mapping[Engine, Callable[..., Runs]] = {
    "xla": XlaEngine,
    "openvino": OpenVinoEngine,
}
