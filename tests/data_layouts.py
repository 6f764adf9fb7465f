"""Three frames of every published dataset, written byte for byte in its layout.

Nothing of jax_depth is used: struct, Pillow, NumPy, h5py, SciPy and OpenEXR write the
files. Every function returns the pictures and the depth that a reader must give.
"""

import struct

import h5py
import numpy as np
import OpenEXR
import scipy.io
from PIL import Image

HEIGHT, WIDTH = 12, 16


def picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth uint8 picture (h, w, 3) that differs in every corner and channel."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [90 + 80 * x + 20 * seed, 60 + 90 * y, 200 - 60 * x * y - 30 * seed]
    return np.stack(planes, 2).astype(np.uint8)


def depth(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Metres in [1, 9], float32 (h, w), different everywhere."""
    steps = np.arange(height * width, dtype=np.float64) / (height * width)
    return (1 + seed + 5 * steps).reshape(height, width).astype(np.float32)


def save(path, array, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options = {"quality": 97, "subsampling": 0, "format": "JPEG"}
    Image.fromarray(array).save(path, **options)


def write_hypersim(root, matrix):
    """Frames of one scene whose planar depth is `depth(seed)`, through `matrix`."""
    out = {}
    for seed in range(3):
        images = root / "ai_001_002" / "images"
        name = f"frame.{seed:04d}"
        save(
            images / "scene_cam_00_final_preview" / f"{name}.tonemap.jpg", picture(seed)
        )
        # Every ray on its own, in the words of the documentation.
        planar, distance = depth(seed), np.empty((HEIGHT, WIDTH), np.float64)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                u = -1 + (column + 0.5) * 2 / WIDTH
                v = 1 - (row + 0.5) * 2 / HEIGHT
                ray = matrix @ np.array([u, v, 1.0])
                point = ray * planar[row, column] / -ray[2]
                distance[row, column] = np.linalg.norm(point)
        distance[0, 0] = np.nan
        path = images / "scene_cam_00_geometry_hdf5" / f"{name}.depth_meters.hdf5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["dataset"] = distance.astype(np.float16 if seed == 2 else np.float32)
        out[f"ai_001_002/cam_00/{seed:04d}"] = planar
    return out


def write_hypersim_metadata(root, matrix):
    cells = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
    numbers = ",".join(repr(float(x)) for x in matrix.ravel())
    (root / "metadata_camera_parameters.csv").write_text(
        f"scene_name,settings_camera_fov,{','.join(cells)}\nai_001_002,1.0,{numbers}\n"
    )
    (root / "metadata_images_split_scene_v1.csv").write_text(
        "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,"
        "split_partition_name\n"
        "ai_001_002,cam_00,0,True,,train\nai_001_002,cam_00,1,False,x,\n"
        "ai_001_002,cam_00,2,True,,test\n"
    )


def write_vkitti2(root):
    scene = root / "Scene01" / "15-deg-left"
    lines = ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
    for seed in range(3):
        values = np.rint(depth(seed) * 100).astype(np.uint16)
        values[:2] = 65535
        for camera in range(2):
            place = scene / "frames"
            save(place / f"rgb/Camera_{camera}/rgb_{seed:05d}.jpg", picture(seed))
            save(place / f"depth/Camera_{camera}/depth_{seed:05d}.png", values)
            lines.append(f"{seed} {camera} 725.0087 725.5 620.5 {187 + camera}")
    (scene / "intrinsic.txt").write_text("\n".join(lines) + "\n")


def write_tartanair(root, environment="office"):
    for seed in range(3):
        place = root / environment / environment / "Easy" / "P001"
        save(place / "image_left" / f"{seed:06d}_left.png", picture(seed))
        values = depth(seed)
        values[0], values[1] = 20000.0, 50.0
        path = place / "depth_left" / f"{seed:06d}_left_depth.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, values)


def write_irs(root):
    for seed in range(3):
        place = root / "Store" / "ConvenienceStore"
        save(place / f"l_{seed}.png", picture(seed))
        save(place / f"r_{seed}.png", picture(seed + 1))
        disparity = (480 * 0.1 / depth(seed)).astype(np.float32)
        disparity[0] = 0
        # One channel in most of the files, three equal ones in some.
        channels = {"Y": disparity}
        if seed == 2:
            channels = dict.fromkeys("RGB", disparity)
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, channels) as file:
            file.write(str(place / f"d_{seed}.exr"))


def write_blendedmvs(root):
    scene = root / "5a3ca9cb270f0e3f14d0eddb"
    for seed in range(3):
        save(scene / "blended_images" / f"{seed:08d}.jpg", picture(seed))
        save(scene / "blended_images" / f"{seed:08d}_masked.jpg", picture(seed))
        values = depth(seed)
        values[0] = 0
        path = scene / "rendered_depth_maps" / f"{seed:08d}.pfm"
        path.parent.mkdir(exist_ok=True)
        body = values[::-1].astype("<f4").tobytes()
        path.write_bytes(f"Pf\n{WIDTH} {HEIGHT}\n-1.000000\n".encode() + body)
        cam = scene / "cams" / f"{seed:08d}_cam.txt"
        cam.parent.mkdir(exist_ok=True)
        cam.write_text(
            "extrinsic\n1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n\nintrinsic\n"
            "570.5 0 8.25\n0 571.5 6.5\n0 0 1\n\n1.0 0.1 128 9.0\n"
        )


def write_nyu(root):
    pictures = np.stack([picture(seed) for seed in range(3)])
    filled = np.stack([depth(seed) for seed in range(3)])
    raw = filled.copy()
    raw[:, :3] = 0
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = pictures.transpose(0, 3, 2, 1)
        file["depths"] = filled.transpose(0, 2, 1)
        file["rawDepths"] = raw.transpose(0, 2, 1)
    splits = {"trainNdxs": np.array([[1], [3]]), "testNdxs": np.array([[2]])}
    scipy.io.savemat(root / "splits.mat", splits)


DRIVE = "2011_09_26_drive_0002_sync"


def write_kitti(root):
    day = root / "raw" / "2011_09_26"
    for seed in range(3):
        name = f"{seed + 5:010d}.png"
        save(day / DRIVE / "image_02" / "data" / name, picture(seed))
        values = np.rint(depth(seed) * 256).astype(np.uint16)
        values[::2] = 0
        place = root / "data_depth_annotated" / "val" / DRIVE / "proj_depth"
        save(place / "groundtruth" / "image_02" / name, values)
    (day / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 1.2e+03 3.7e+02\n"
        "P_rect_02: 721.5 0 609.5 44.8 0 722.5 172.8 0.2 0 0 1 0.003\n"
    )


def write_diode(root):
    for seed in range(3):
        domain = "outdoor" if seed == 2 else "indoors"
        scan = root / "val" / domain / "scene_00019" / "scan_00183"
        stem = f"00019_00183_{domain}_000_0{seed}0"
        save(scan / f"{stem}.png", picture(seed))
        mask = np.ones((HEIGHT, WIDTH))
        mask[0] = 0
        np.save(scan / f"{stem}_depth.npy", depth(seed)[:, :, None])
        np.save(scan / f"{stem}_depth_mask.npy", mask)


def write_sintel(root):
    tag = struct.pack("<f", 202021.25)
    for seed in range(3):
        for rendering in ("final", "clean"):
            place = root / "training" / rendering / "alley_1"
            save(
                place / f"frame_{seed:04d}.png", picture(seed + (rendering == "clean"))
            )
        values = depth(seed)
        values[0] = 1e5
        path = root / "training" / "depth" / "alley_1" / f"frame_{seed:04d}.dpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = struct.pack("<ii", WIDTH, HEIGHT)
        path.write_bytes(tag + size + values.astype("<f4").tobytes())
        camera = root / "training/camdata_left/alley_1" / f"frame_{seed:04d}.cam"
        camera.parent.mkdir(parents=True, exist_ok=True)
        intrinsic = struct.pack("<9d", 1120, 0, 511.5, 0, 1121, 217.5, 0, 0, 1)
        camera.write_bytes(tag + intrinsic + struct.pack("<12d", *range(12)))


def write_eth3d(root):
    for seed in range(3):
        scene = root / ("courtyard" if seed < 2 else "relief")
        save(scene / "images" / "dslr_images" / f"DSC_{seed:04d}.JPG", picture(seed))
        values = depth(seed)
        values[0] = np.inf
        path = scene / "ground_truth_depth" / "dslr_images" / f"DSC_{seed:04d}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(values.astype("<f4").tobytes())
