"""Structure-aware damage to weight files: arrays of the file's bytes, or a sentence.

Two kinds of files: opcodes put together at random from what torch writes, and sound
files with a few bytes changed where the structure is. Whatever happens: no traceback,
nothing from outside the file, no growth, and a good file still reads.
"""

import json
import pickle
import resource
import struct
import time
import zipfile

import numpy as np
import pytest

from jax_depth_convert import read, recognise
from jax_depth_convert.pth_writer import write_pth

STORAGE = np.arange(1, 5, dtype=np.float32)
_NAMES = (
    *(b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_tensor_v3"),
    *(b"torch._utils\n_rebuild_parameter", b"torch._tensor\n_rebuild_from_type_v2"),
    *(b"torch\nFloatStorage", b"torch\nLongStorage", b"torch.storage\nUntypedStorage"),
    *(b"torch\nComplexFloatStorage", b"torch\nSize", b"torch\ndevice"),
    *(b"torch\nfloat8_e4m3fn", b"collections\nOrderedDict", b"collections\nCounter"),
    *(b"collections\ndefaultdict", b"argparse\nNamespace", b"builtins\nset"),
    *(b"numpy\ndtype", b"numpy\nndarray", b"numpy.core.multiarray\nscalar"),
    *(b"numpy._core.multiarray\n_reconstruct", b"_codecs\nencode"),
    *(b"pathlib\nPosixPath", b"os\nsystem", b"builtins\neval", b"torch\nTensor"),
)
_NUMBERS = (0, 1, 2, 3, 4, 5, 16, -1, 255, 1 << 31, (1 << 63) - 1, 1 << 63, 1 << 200)
_WORDS = ("w", "0", "1", "storage", "cpu", "model", "state_dict", "latin1", "f4", "<")
_PLAIN = (
    *(pickle.MARK, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT, pickle.EMPTY_SET),
    *(pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.NONE),
    *(pickle.REDUCE, pickle.BUILD, pickle.NEWOBJ, pickle.BINPERSID, pickle.NEWTRUE),
    *(pickle.STACK_GLOBAL, pickle.ADDITEMS, pickle.FROZENSET, pickle.MEMOIZE),
    *(pickle.POP, pickle.DUP, pickle.INST, pickle.OBJ, pickle.EXT1, pickle.PERSID),
)


def dump(value):
    return pickle.dumps(value, 2)[2:-1]


def glob(name):
    return b"c" + name + b"\n"


def storage(rng):
    name = glob(_NAMES[int(rng.integers(4, 8))])
    count = 4 if rng.random() < 0.7 else int(rng.integers(-1, 20))
    key = dump("0") if rng.random() < 0.9 else piece(rng, 1)
    return b"(" + dump("storage") + name + key + dump("cpu") + dump(count) + b"tQ"


def numbers(rng):
    return tuple(
        int(rng.integers(0, 5)) if rng.random() < 0.8 else pick(rng, _NUMBERS)
        for _ in range(int(rng.integers(0, 4)))
    )


def pick(rng, items):
    return items[int(rng.integers(len(items)))]


def tensor(rng):
    shape = numbers(rng)
    stride = numbers(rng) if rng.random() < 0.3 else tuple(0 * n + 1 for n in shape)
    body = glob(_NAMES[0]) + b"(" + storage(rng) + dump(int(rng.integers(0, 5)))
    return body + dump(shape) + dump(stride) + b"\x89}tR"


def piece(rng, depth):
    """Return opcodes that mostly push one value, and sometimes anything at all."""
    kind = int(rng.integers(0, 12))
    if depth <= 0 or kind <= 2:
        return dump(pick(rng, _NUMBERS) if rng.random() < 0.4 else pick(rng, _WORDS))
    if kind == 3:
        return tensor(rng)
    if kind == 4:
        return storage(rng)
    if kind == 5:  # a dict
        items = (
            dump(pick(rng, _WORDS)) + piece(rng, depth - 1)
            for _ in range(int(rng.integers(0, 4)))
        )
        return b"}(" + b"".join(items) + b"u"
    if kind == 6:  # a call
        items = b"".join(piece(rng, depth - 1) for _ in range(int(rng.integers(0, 5))))
        return (
            glob(pick(rng, _NAMES)) + b"(" + items + b"t" + pick(rng, (b"R", b"\x81"))
        )
    if kind == 7:  # state for whatever it is
        return piece(rng, depth - 1) + piece(rng, depth - 1) + b"b"
    if kind == 8:
        index = bytes([int(rng.integers(0, 4))])
        return pick(rng, (piece(rng, depth - 1) + b"q" + index, b"h" + index))
    if kind == 9:
        items = b"".join(piece(rng, depth - 1) for _ in range(int(rng.integers(0, 4))))
        return b"(" + items + b"t"
    if kind == 10:
        return pick(rng, _PLAIN)
    return rng.bytes(int(rng.integers(1, 4)))


def made_pth(rng):
    """Return the pickle of a dict with three random entries."""
    items = b"".join(
        dump(pick(rng, _WORDS)) + piece(rng, 4) for _ in range(int(rng.integers(1, 4)))
    )
    return b"\x80\x02}(" + items + b"u."


def write_zip(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", STORAGE.tobytes())


def write_legacy(path, content):
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    with open(path, "wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, system):
            file.write(pickle.dumps(value, 2))
        file.write(content + pickle.dumps(["0"], 2))
        file.write(struct.pack("<Q", 4) + STORAGE.tobytes())


def write_safetensors(rng, path):
    """Write a header with random values in the places that have a meaning."""
    odd = (*_NUMBERS, *_WORDS, None, [], {}, [[]], 1.5, True, "F32", "I64")
    header = {}
    for _ in range(int(rng.integers(0, 4))):
        entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
        for key in entry:
            if rng.random() < 0.3:
                value = pick(rng, odd)
                entry[key] = [value, pick(rng, odd)] if rng.random() < 0.5 else value
        entry = entry if rng.random() < 0.9 else pick(rng, odd)
        header[pick(rng, (*_WORDS, "__metadata__"))] = entry
    document = header if rng.random() < 0.9 else pick(rng, odd)
    raw = json.dumps(document).encode()
    length = len(raw) if rng.random() < 0.9 else pick(rng, _NUMBERS) % (1 << 63)
    path.write_bytes(struct.pack("<Q", length) + raw + STORAGE.tobytes())


def damage(rng, data):
    """Return bytes with a few of them changed, doubled or cut out."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, max(len(data), 1)))
        size = int(rng.integers(0, 9))
        if rng.random() < 0.6:
            data[place : place + 1] = rng.bytes(1)
        elif rng.random() < 0.5:
            data[place:place] = data[place : place + size]
        else:
            del data[place : place + size]
    return bytes(data)


def inside(array, path_size):
    """Whether an array is one of numbers, and no larger than its file."""
    return array.dtype.hasobject is False and array.nbytes <= path_size


def fuzz(folder, count, seed):
    """Throw `count` files at `read`; return how many were read and refused."""
    rng = np.random.default_rng(seed)
    good = folder / "good.pth"
    write_pth(good, {"w": STORAGE})
    sound = good.read_bytes()
    path = folder / "x.pth"
    outcome = {"read": 0, "refused": 0}
    for index in range(count):
        kind = index % 4
        if kind == 0:
            write_zip(path, made_pth(rng))
        elif kind == 1:
            write_legacy(path, made_pth(rng))
        elif kind == 2:
            path.write_bytes(damage(rng, sound))
        else:
            path = folder / "x.safetensors"
            write_safetensors(rng, path)
        start = time.process_time()
        try:
            state = read(path)
            for array in state.values():
                assert inside(array, path.stat().st_size), (seed, index)
                array.tobytes()  # every byte can be touched
            outcome["read"] += 1
            recognise(state)
        except ValueError as error:
            message = str(error)
            assert len(message) < 1000 and "\n" not in message, (seed, index, message)
            outcome["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {index}") from error
        assert time.process_time() - start < 20, (seed, index)
        path = folder / "x.pth"
        if index % 500 == 499:
            np.testing.assert_array_equal(read(good)["w"], STORAGE)
    return outcome


def resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB on Linux


def test_two_thousand_files(tmp_path):
    outcome = fuzz(tmp_path, 2000, seed=0)
    assert outcome["read"] > 50 and outcome["refused"] > 1000


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_hundred_thousand_files(tmp_path, seed):
    fuzz(tmp_path, 1000, seed=1000 + seed)  # caches fill
    before = resident()
    outcome = fuzz(tmp_path, 10_000, seed=seed)
    assert outcome["read"] > 250
    assert resident() - before < 64
