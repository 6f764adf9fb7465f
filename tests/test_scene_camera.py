"""Cameras: stated, by field of view, from EXIF data in all its forms, assumed."""

import math

import pytest
from PIL import ExifTags, Image

from jax_depth.outputs import scene

BASE, IFD = ExifTags.Base, ExifTags.IFD


def photo(path, size, orientation=1, **values):
    """Write a JPEG of (width, height) with EXIF data by their names."""
    image = Image.new("RGB", size)
    exif = Image.Exif()
    exif[BASE.Orientation] = orientation
    exif.get_ifd(IFD.Exif).update({BASE[name]: x for name, x in values.items()})
    image.save(path, exif=exif)
    return path


def test_field_of_view_and_focal_length():
    camera = scene.camera_from_view((480, 640), 90)
    assert camera.fx == pytest.approx(320) and camera.fy == camera.fx
    assert (camera.cx, camera.cy) == (319.5, 239.5)
    assert scene.camera_from_view((640, 480), 90).fx == pytest.approx(320)
    camera = scene.camera_from_focal((480, 640), 500, 510, 300, 200)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 300, 200)
    for degrees in (0, 180, math.nan):
        with pytest.raises(ValueError, match="degrees is not in"):
            scene.camera_from_view((480, 640), degrees)
    with pytest.raises(ValueError, match="must be pixels above 0"):
        scene.camera_from_focal((480, 640), -1)


def test_equivalent_to_35_mm_is_by_the_diagonal(tmp_path):
    file = photo(tmp_path / "a.jpg", (400, 300), FocalLengthIn35mmFilm=26)
    camera, source = scene.find_camera(file, (300, 400))
    # 500 pixels of diagonal are 43.27 mm of film.
    assert camera.fx == pytest.approx(26 / math.hypot(36, 24) * 500)
    assert source == "EXIF: 26 mm, equivalent to 35 mm film"
    # A portrait photo, stored lying.
    names = {"ExifImageWidth": 400, "ExifImageHeight": 300}
    file = photo(tmp_path / "b.jpg", (400, 300), 6, FocalLengthIn35mmFilm=26, **names)
    turned, _ = scene.find_camera(file, (400, 300))
    assert turned.fx == pytest.approx(camera.fx)
    assert (turned.cx, turned.cy) == (149.5, 199.5)


@pytest.mark.parametrize(
    "unit, millimetres", [(None, 25.4), (2, 25.4), (3, 10), (4, 1), (5, 0.001)]
)
def test_millimetres_and_the_sensors_resolution(unit, millimetres, tmp_path):
    # A 36 mm sensor of 6000 pixels, photo shrunk to a tenth: 50 mm are 833 pixels.
    values = {
        "FocalLength": 50.0,
        "FocalPlaneXResolution": 6000 / 36 * millimetres,
        "FocalPlaneYResolution": 6000 / 36 * millimetres,
        **({"FocalPlaneResolutionUnit": unit} if unit else {}),
        "ExifImageWidth": 6000,
        "ExifImageHeight": 4000,
    }
    file = photo(tmp_path / "a.jpg", (600, 400), **values)
    camera, source = scene.find_camera(file, (400, 600))
    assert camera.fx == pytest.approx(600 * 50 / 36, rel=1e-4)
    assert source.startswith("EXIF: 50 mm on a sensor")


@pytest.mark.parametrize(
    ("size", "values", "reason"),
    [
        ((400, 300), {}, "no focal length in its EXIF data"),
        ((400, 300), {"FocalLength": 4.2}, "no focal length in its EXIF data"),
        (
            (300, 300),
            {
                "FocalLengthIn35mmFilm": 26,
                "ExifImageWidth": 4000,
                "ExifImageHeight": 3000,
            },
            "has been cropped",
        ),
        ((400, 300), {"FocalLengthIn35mmFilm": 0}, "no focal length"),
    ],
)
def test_an_assumption_says_so_and_why(tmp_path, size, values, reason):
    file = photo(tmp_path / "a.jpg", size, **values)
    camera, source = scene.find_camera(file, size[::-1])
    assert source.startswith("assumed 60 degrees ")
    assert reason in source
    assert camera.fx == pytest.approx(size[0] / 2 / math.tan(math.radians(30)))


def test_what_is_no_number_counts_as_missing():
    image = Image.new("RGB", (400, 300))
    tags = image.getexif().get_ifd(IFD.Exif)
    tags[BASE.FocalLengthIn35mmFilm] = "wide"
    tags[BASE.FocalLength] = b"\0"
    _, source = scene.find_camera(image, (300, 400))
    assert source.endswith("(no focal length in its EXIF data)")
    tags[BASE.FocalLengthIn35mmFilm] = "26"
    camera, _ = scene.find_camera(image, (300, 400))
    assert camera.fx == pytest.approx(26 / math.hypot(36, 24) * 500)


def test_no_exif_at_all_and_broken_exif(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    _, source = scene.find_camera(tmp_path / "a.png", (30, 40))
    assert source.endswith("(no focal length in its EXIF data)")
    assert scene.find_camera(None, (30, 40))[1].endswith("(no EXIF data)")
    Image.new("RGB", (40, 30)).save(tmp_path / "b.jpg", exif=b"Exif\0\0MM\0*\0\0\xff")
    _, source = scene.find_camera(tmp_path / "b.jpg", (30, 40))
    assert source.startswith("assumed 60 degrees")
