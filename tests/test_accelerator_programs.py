"""What programs for accelerators consist of, read from what is lowered for them.

No chip and no compiler for one is needed: StableHLO says which products are asked for,
in which types, and in which order things happen.
"""

import dataclasses
import functools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from small_models import RELATIVE

from jax_depth.config import ModelConfig, with_encoder
from jax_depth.models import attention
from jax_depth.models.depth_anything import forward, param_shapes

HALF = dataclasses.replace(RELATIVE, dtype="bfloat16")
PLATFORMS = ("cuda", "tpu")
SIDE = 56  # 17 tokens

_TYPES = re.compile(r": \(tensor<([^>]*)>, tensor<([^>]*)>\) -> tensor<([^>]*)>")


def lowered(config: ModelConfig, platform: str, gradient=False, side=SIDE) -> str:
    """Return the program of a forward pass, or of its gradient, as StableHLO."""
    params = param_shapes(config)
    pixels = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    function = functools.partial(forward, config=config)
    if gradient:
        inner = function
        function = jax.grad(lambda params, pixels: inner(params, pixels).sum())
    traced = jax.jit(function).trace(params, pixels)
    return traced.lower(lowering_platforms=(platform,)).as_text()


def products(text: str) -> list[tuple[bool, set[str], str]]:
    """Return (at the highest precision, operand types, result type) of each product."""
    found = []
    for line in text.splitlines():
        if "stablehlo.dot_general" in line:
            match = _TYPES.search(line)
            assert match, line
            x, y, result = (shape.rpartition("x")[2] for shape in match.groups())
            found.append(("[HIGHEST, HIGHEST]" in line, {x, y}, result))
    return found


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_only_exact_product_of_a_bfloat16_model_is_its_last(platform):
    exact = [p for p in products(lowered(HALF, platform)) if p[0]]
    # The last convolution stays float32; resizes gather on a GPU and multiply rounded
    # operands on a TPU.
    assert exact == [(True, {"f32"}, "f32")]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_float32_product_is_left_in_the_backward_pass_but_exact_ones(platform):
    found = products(lowered(HALF, platform, gradient=True))
    assert len(found) > 40
    plain = [p for p in found if not p[0]]
    assert all(operands == {"bf16"} for _, operands, _ in plain)
    # The last convolution, in the three products of a gradient.
    assert len(found) - len(plain) <= 3


@pytest.mark.parametrize("platform", PLATFORMS)
def test_queries_keys_and_values_are_rounded_before_they_move(platform):
    text = lowered(HALF, platform)
    moved = re.findall(r"stablehlo\.transpose .*-> tensor<2x1x17x64x(\w+)>", text)
    # One row for each of q, k and v; blocks share one function of attention.
    assert moved.count("bf16") >= 3 and "f32" not in moved


@pytest.mark.parametrize("platform", PLATFORMS)
def test_1x1_convolutions_run_before_the_resize(platform):
    text = lowered(HALF, platform)
    features = HALF.head.features
    kernel = rf"tensor<{features}x{features}xbf16>"
    sides = re.findall(rf"tensor<2x(\d+)x\d+x{features}xbf16>, {kernel}", text)
    # A level's own side, half of what it becomes: 2, 4, 8, 16 patches.
    assert sorted(map(int, sides)) == [2, 4, 8, 16]


def test_a_gpu_gathers_where_a_tpu_multiplies():
    cuda, tpu = (lowered(HALF, platform) for platform in PLATFORMS)
    assert cuda.count("stablehlo.gather") > tpu.count("stablehlo.gather")
    assert len(products(tpu)) > len(products(cuda))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_convolutions_in_bfloat16_give_bfloat16(platform):
    text = lowered(HALF, platform)
    lines = [x for x in text.splitlines() if "stablehlo.convolution(" in x]
    assert lines and all(x.count("xbf16>") == 3 for x in lines)


def test_layers_of_a_gpu_give_bfloat16_and_logits_float32():
    results = [p[2] for p in products(lowered(HALF, "cuda")) if p[1] == {"bf16"}]
    assert results.count("bf16") > results.count("f32") > 0
    results = [p[2] for p in products(lowered(HALF, "tpu")) if p[1] == {"bf16"}]
    assert set(results) == {"f32"}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_kernels_are_not_in_programs_for_absent_devices(platform):
    text = lowered(HALF, platform, side=14 * 17)  # 290 tokens
    assert "cudnn" not in text and "tpu_custom_call" not in text


@pytest.fixture
def a_tpu(monkeypatch):
    """Let traces believe that this process has a TPU."""
    tpu = types.SimpleNamespace(platform="tpu")
    monkeypatch.setattr(attention.jax, "local_devices", lambda **_: [tpu])
    monkeypatch.setattr(attention, "_ONE_PASS_TOKENS", 16)
    attention._has_tpu.cache_clear()
    jax.clear_caches()
    yield
    attention._has_tpu.cache_clear()
    jax.clear_caches()


def _on_several(config: ModelConfig, batch: int):
    """Trace a forward pass whose batch four devices share."""
    devices = np.array(jax.devices()[:4])
    mesh = Mesh(devices, ("data",), axis_types=(AxisType.Auto,))

    def placed(leaf, *axes):
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    params = jax.tree.map(placed, param_shapes(config))
    pixels = jax.ShapeDtypeStruct((batch, SIDE, SIDE, 3), jnp.float32)
    function = jax.jit(functools.partial(forward, config=config))
    return mesh, functools.partial(function.trace, params, placed(pixels, "data"))


def test_several_tpus_share_the_kernel_out_where_the_mesh_is_told(a_tpu):
    mesh, trace = _on_several(with_encoder(HALF, attention="flash"), 4)
    with pytest.raises(NotImplementedError, match="cannot be automatically part"):
        trace().lower(lowering_platforms=("tpu",))
    jax.clear_caches()
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        text = trace().lower(lowering_platforms=("tpu",)).as_text()
    assert "tpu_custom_call" in text


def test_auto_is_the_kernel_on_a_tpu_in_bfloat16(a_tpu):
    mesh, trace = _on_several(HALF, 4)
    # Nobody says how the batch is shared: jax would refuse.
    assert "tpu_custom_call" not in trace().lower(lowering_platforms=("tpu",)).as_text()
    jax.clear_caches()
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        traced = trace()
    assert "tpu_custom_call" in traced.lower(lowering_platforms=("tpu",)).as_text()
    exact = dataclasses.replace(HALF, dtype="float32")
    mesh, trace = _on_several(exact, 4)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        text = trace().lower(lowering_platforms=("tpu",)).as_text()
    assert "tpu_custom_call" not in text


def test_the_estimator_and_training_tell_the_mesh(a_tpu):
    from jax_depth.inference.engines import xla
    from jax_depth.training.mesh import held_activations, make_mesh

    mesh = make_mesh()
    with held_activations(mesh):
        assert jax.sharding.get_abstract_mesh() == mesh.abstract_mesh
    seen = []

    def spied(params, pixels, config):
        seen.append(jax.sharding.get_abstract_mesh().size)
        return pixels[..., 0]

    import jax_depth.models.depth_anything as network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "forward", spied)
        engine = xla.XlaEngine({}, HALF, jax.devices()[:4])
        engine.run(np.zeros((4, 28, 28, 3), np.float32))
        engine.run(np.zeros((1, 28, 28, 3), np.float32))
    assert seen == [4, 1]


def test_what_float32_costs_is_said_once_on_an_accelerator(monkeypatch, capsys):
    from types import SimpleNamespace

    from jax_depth.inference.engines import xla

    monkeypatch.setattr(xla, "_SAID", set())
    gpu, cpu = (SimpleNamespace(platform=p, device_kind="H100") for p in ("gpu", "cpu"))
    xla.say_cost(HALF, gpu)
    xla.say_cost(RELATIVE, cpu)
    with jax.default_matmul_precision("tensorfloat32"):
        xla.say_cost(RELATIVE, gpu)
    assert not capsys.readouterr().err
    xla.say_cost(RELATIVE, gpu)
    xla.say_cost(RELATIVE, gpu)
    (line,) = capsys.readouterr().err.splitlines()
    assert "dtype='bfloat16'" in line and "H100" in line
