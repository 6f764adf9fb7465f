"""How bfloat16 products are computed: measured once, kept, overridden, recorded."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest
from small_models import RELATIVE

from jax_depth.formats.cache import MEASURED
from jax_depth.models import host, products
from jax_depth.models.precision import convolve, einsum
from jax_depth.models.products import Products

HALF = dataclasses.replace(RELATIVE, dtype="bfloat16")
NATIVE, WIDENED = (Products(way, way) for way in ("native", "widened"))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Return a cache in which nothing is measured yet, with measuring allowed."""
    monkeypatch.setenv("JAX_DEPTH_CACHE", str(tmp_path))
    monkeypatch.delenv("JAX_DEPTH_BFLOAT16")
    products._kept_or_measured.cache_clear()
    jax.clear_caches()
    yield tmp_path / MEASURED
    products._kept_or_measured.cache_clear()
    jax.clear_caches()


def _times(product: float, convolution: float):
    return {
        "product": {"native": product, "widened": 1.0},
        "convolution": {"native": convolution, "widened": 1.0},
    }


def _is_widened(function, *shapes) -> bool:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    text = jax.jit(function).lower(*arguments).as_text()
    operations = ("stablehlo.dot_general", "stablehlo.convolution(")
    (line,) = (x for x in text.splitlines() if any(o in x for o in operations))
    return "bf16" not in line


def _product(x, y):
    return einsum("ab,bc->ac", x, y, jnp.bfloat16)


def _convolution(x, kernel):
    return convolve(x, kernel, 1, 0, jnp.bfloat16)


def test_a_plain_trace_measures_once_and_follows(fresh, monkeypatch):
    calls = []

    def measure():
        calls.append(1)
        return _times(0.5, 2.0)

    monkeypatch.setattr(products, "measure", measure)
    assert not _is_widened(_product, (8, 8), (8, 8))
    assert _is_widened(_convolution, (1, 4, 4, 2), (1, 1, 2, 2))
    (row,) = json.loads(fresh.read_text()).values()
    assert row["bfloat16"]["product"] == "native"
    assert row["bfloat16"]["milliseconds"]["convolution"]["native"] == 2000.0
    # Another process reads what the first has measured.
    products._kept_or_measured.cache_clear()
    assert products.products() == Products("native", "widened")
    assert len(calls) == 1


def test_what_another_machine_measured_or_a_damaged_file_is_not_taken(
    fresh, monkeypatch
):
    monkeypatch.setattr(products, "measure", lambda: _times(0.5, 0.5))
    for known in ("{", '{"another CPU": {"bfloat16": 1}}', '{"%s": {"bfloat16": 7}}'):
        fresh.write_text(known.replace("%s", products.machine()))
        products._kept_or_measured.cache_clear()
        assert products.products() == NATIVE
    monkeypatch.setattr(products, "cpu_model", lambda: "another CPU")
    monkeypatch.setattr(products, "measure", lambda: _times(2.0, 2.0))
    assert products.products() == WIDENED


@pytest.mark.parametrize("default", ["native", "widened"])
def test_a_tie_within_a_tenth_takes_the_default(default, monkeypatch):
    usual = Products(default, default)
    monkeypatch.setattr(products, "usual", lambda: usual)
    assert products.chosen_from(_times(0.95, 1.05)) == usual
    assert products.chosen_from(_times(0.85, 0.85)) == NATIVE
    assert products.chosen_from(_times(1.15, 1.15)) == WIDENED


def test_measuring_within_a_trace_times_both_ways(fresh):
    jax.jit(_product).lower(jnp.ones((4, 4)), jnp.ones((4, 4)))
    (row,) = json.loads(fresh.read_text()).values()
    times = row["bfloat16"]["milliseconds"]
    assert all(times[k][w] > 0 for k in times for w in ("native", "widened"))
    assert products.chosen_from(times) == products.from_json(row["bfloat16"])


def test_shapes_of_a_bfloat16_model_measure_nothing(fresh, monkeypatch):
    from jax_depth.models.depth_anything import param_shapes

    def measure():
        raise AssertionError("measured")

    monkeypatch.setattr(products, "measure", measure)
    assert "encoder" in param_shapes(HALF)


def test_another_choice_for_a_while_measures_nothing_and_leaves_no_trace(
    fresh, monkeypatch
):
    monkeypatch.setattr(products, "measure", pytest.fail)
    nested = jax.jit(_product)

    def network(x, y):
        return nested(x, y) + 1.0

    shapes = (8, 8), (8, 8)
    for chosen in (WIDENED, NATIVE, WIDENED):
        with products.using(chosen):
            assert _is_widened(network, *shapes) == (chosen == WIDENED)
    monkeypatch.setattr(products, "measure", lambda: _times(0.5, 0.5))
    assert not _is_widened(network, *shapes)
    with products.using(WIDENED):
        assert _is_widened(network, *shapes)
    assert not _is_widened(network, *shapes)


def test_the_environment_goes_first_and_mistakes_are_named(fresh, monkeypatch):
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", "widened")
    assert products.products() == WIDENED and not fresh.exists()
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", "default")
    assert products.products() == products.usual()
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", "fast")
    with pytest.raises(ValueError, match="JAX_DEPTH_BFLOAT16=fast is unknown"):
        products.products()


def test_accelerators_measure_nothing(fresh, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert products.products() == products.usual() and not fresh.exists()


@pytest.mark.parametrize(
    ("features", "way"),
    [("avx2 sse2", "widened"), ("amx_bf16 sse2", "native"), ("asimd bf16", "native")],
)
def test_the_default_goes_by_features(features, way, monkeypatch):
    monkeypatch.setattr(products, "cpu_features", lambda: features)
    assert products.usual() == Products(way, way)


def test_a_run_keeps_the_way_it_began_with(tmp_path, monkeypatch):
    from jax_depth.training.hosts import Hosts
    from jax_depth.training.products import FILE, of_run

    config, hosts = HALF, Hosts("test")
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", "widened")
    with of_run(tmp_path, config, hosts):
        assert products.products() == WIDENED
    # Resumed where another way is faster.
    monkeypatch.delenv("JAX_DEPTH_BFLOAT16")
    monkeypatch.setattr(products, "_of_this_machine", lambda: NATIVE)
    with of_run(tmp_path, config, hosts):
        assert _is_widened(_product, (8, 8), (8, 8))
    assert not _is_widened(_product, (8, 8), (8, 8))
    monkeypatch.setenv("JAX_DEPTH_BFLOAT16", "native")
    with of_run(tmp_path, config, hosts):
        assert products.products() == NATIVE
    assert json.loads((tmp_path / FILE).read_text()) == products.to_json(NATIVE)
    monkeypatch.delenv("JAX_DEPTH_BFLOAT16")
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(ValueError, match=f"{FILE}.*remove it"):
        of_run(tmp_path, config, hosts)


def test_other_hosts_take_it_from_the_first(tmp_path, monkeypatch):
    from jax_depth.training.hosts import Hosts
    from jax_depth.training.products import of_run

    class Store(dict):
        key_value_set = dict.__setitem__

        def blocking_key_value_get(self, key, patience):
            return self[key]

    hosts = Hosts("test")
    hosts.client = Store()
    (tmp_path / "0").mkdir()  # the others have no folder
    for process, way in enumerate(("native", "widened")):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        monkeypatch.setenv("JAX_DEPTH_BFLOAT16", way)
        with of_run(tmp_path / str(process), HALF, hosts):
            assert products.products() == NATIVE


@pytest.mark.parametrize(
    "text, model, features",
    [
        (
            "model name\t: AMD EPYC 9R14\nflags\t\t: fpu sse2 avx2 amx_bf16 smx\n\n"
            "model name\t: another\nflags\t\t: fpu\n",
            "AMD EPYC 9R14",
            "amx_bf16 avx2 sse2",
        ),
        ("Features\t: fp bf16 asimd\n", "aarch64", "asimd bf16 fp"),
        (None, "aarch64", ""),
    ],
)
def test_a_cpu_is_known_by_what_linux_says(text, model, features, monkeypatch):
    def read(path, **_):
        assert str(path) == "/proc/cpuinfo"
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(host.Path, "read_text", read)
    monkeypatch.setattr(host.platform, "processor", lambda: "")
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    assert host.cpu_model.__wrapped__() == model
    assert host.cpu_features.__wrapped__() == features
