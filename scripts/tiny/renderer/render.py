"""Draws a scene with OpenGL (Mesa's software driver is enough): RGB and exact depth."""

import os
from pathlib import Path

import numpy as np
from assets import Pack
from scene import INSTANCE_FLOATS, Scene

SHADERS = Path(__file__).parent / "shaders"
NEAR, FAR = 0.05, 4000.0
VERTEX_LAYOUT = (
    "3f4 4f1 2f4 1u2 2x1",
    "in_position",
    "in_normal",
    "in_uv",
    "in_material",
)
INSTANCE_NAMES = ("in_row0", "in_row1", "in_row2", "in_tint", "in_surface")
SHADOW_SIZE = 768
LAMP_TANGENT = 2.2  # half opening of the lamp's shadow frustum
MAX_DRAWS = 4096


def perspective(tan_x: float, tan_y: float, near: float, far: float) -> np.ndarray:
    """OpenGL projection matrix from half-field tangents."""
    matrix = np.zeros((4, 4))
    matrix[0, 0], matrix[1, 1] = 1 / tan_x, 1 / tan_y
    matrix[2, 2], matrix[2, 3] = (
        -(far + near) / (far - near),
        -2 * far * near / (far - near),
    )
    matrix[3, 2] = -1
    return matrix


def orthographic(half: float, near: float, far: float) -> np.ndarray:
    """OpenGL projection matrix of a cube-like volume."""
    matrix = np.diag([1 / half, 1 / half, -2 / (far - near), 1.0])
    matrix[2, 3] = -(far + near) / (far - near)
    return matrix


def world_to_eye(position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Inverse of the rigid camera pose (rotation columns right, up, backward)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.T
    matrix[:3, 3] = -rotation.T @ position
    return matrix


def facing(direction: np.ndarray) -> np.ndarray:
    """A rotation whose third column (backward) is ``direction``."""
    back = direction / np.linalg.norm(direction)
    helper = np.array([0, 1.0, 0]) if abs(back[2]) > 0.9 else np.array([0, 0, 1.0])
    right = np.cross(helper, back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], 1)


class Renderer:
    """One OpenGL context with the asset pack on it.

    Args:
        pack: meshes, materials and textures.
        supersample: colour is drawn this many times larger and averaged.
        mipmaps: textures of far things are averaged, and so are the holes of leaves.
            A ray tracer averages rays instead; depth that belongs to its pictures has
            the holes that a ray through the middle of the pixel meets.
    """

    def __init__(self, pack: Pack, supersample: int = 1, mipmaps: bool = True):
        # The software driver starts one thread per core: one process, one core.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        import moderngl

        self.gl = moderngl.create_context(standalone=True, backend="egl", require=430)
        self.pack, self.supersample = pack, supersample
        gl = self.gl
        # Programs come in pairs: without and with texture holes, since a shader that
        # may discard a pixel cannot skip hidden ones.
        self.geometry = [self._program("surface", "geometry", cut) for cut in (0, 1)]
        self.shadow = [self._program("shadow", "shadow", cut) for cut in (0, 1)]
        self.occlusion = self._program("screen", "occlusion")
        self.light = self._program("screen", "light")
        self.meter = self._program("screen", "meter")
        self.develop = self._program("screen", "develop")
        self._upload(mipmaps)
        self.shadow_map = gl.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow_map.compare_func = ""
        self.shadow_map.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self.shadow_buffer = gl.framebuffer(depth_attachment=self.shadow_map)
        self.targets = {}
        low = np.array([m.low for m in pack.models], np.float32)
        high = np.array([m.high for m in pack.models], np.float32)
        self.centres, self.radii = (
            (low + high) / 2,
            np.linalg.norm(high - low, axis=1) / 2,
        )
        self.cutout = np.array([m.cutout for m in pack.models], int)
        self.ranges = np.array(
            [(m.count, m.first, m.base) for m in pack.models], np.uint32
        )

    def _program(self, vertex: str, fragment: str, cutout: int = 0):
        sources = [(SHADERS / f"{vertex}.vert"), (SHADERS / f"{fragment}.frag")]
        texts = [path.read_text() for path in sources]
        if cutout:
            first = "#version 430\n"
            texts = [text.replace(first, first + "#define CUTOUT\n") for text in texts]
        return self.gl.program(*texts)

    def _upload(self, mipmaps: bool) -> None:
        gl, pack = self.gl, self.pack
        count, height, width, _ = pack.pixels.shape
        self.textures = gl.texture_array((width, height, count), 4)
        for layer in range(count):  # row 0 of OpenGL is the bottom
            self.textures.write(
                np.ascontiguousarray(pack.pixels[layer, ::-1]),
                (0, 0, layer, width, height, 1),
            )
        if mipmaps:
            self.textures.build_mipmaps()
        self.textures.filter = (0x2703 if mipmaps else 0x2601, 0x2601)  # (tri)linear
        rows, columns, _ = pack.materials.shape
        self.materials = gl.texture(
            (columns, rows), 4, pack.materials.tobytes(), dtype="f4"
        )
        self.materials.filter = (0x2600, 0x2600)
        self.vertices = gl.buffer(pack.vertices.tobytes())
        self.indices = gl.buffer(pack.indices.tobytes())
        self.instances = gl.buffer(reserve=MAX_DRAWS * INSTANCE_FLOATS * 4)
        self.commands = gl.buffer(reserve=MAX_DRAWS * 20)
        content = [
            (self.vertices, *VERTEX_LAYOUT),
            (self.instances, "4f 4f 4f 4f 4f/i", *INSTANCE_NAMES),
        ]
        self.meshes, self.casters = (
            [
                gl.vertex_array(p, content, self.indices, skip_errors=True)
                for p in programs
            ]
            for programs in (self.geometry, self.shadow)
        )
        self.occluding = gl.vertex_array(self.occlusion, [])
        self.lighting = gl.vertex_array(self.light, [])
        self.metering = gl.vertex_array(self.meter, [])
        self.developing = gl.vertex_array(self.develop, [])
        self.mean = gl.texture((1, 1), 1, dtype="f4")
        self.mean_buffer = gl.framebuffer([self.mean])

    def _targets(self, width: int, height: int) -> dict:
        """Textures and framebuffers for one picture size, made once."""
        if (width, height) not in self.targets:
            gl, size = self.gl, (width, height)
            albedo, normal = gl.texture(size, 4), gl.texture(size, 4, dtype="f2")
            depth, light = (
                gl.texture(size, 1, dtype="f4"),
                gl.texture(size, 4, dtype="f2"),
            )
            for texture in (albedo, normal, depth):
                texture.filter = (0x2600, 0x2600)
            open_ = gl.texture(size, 1)
            for texture in (albedo, normal, depth, light, open_):
                texture.repeat_x = texture.repeat_y = False
            buffer = gl.depth_renderbuffer(size)
            self.targets[width, height] = {
                "albedo": albedo, "normal": normal, "depth": depth, "light": light,
                "geometry": gl.framebuffer([albedo, normal, depth], buffer),
                "open": open_,
                "occluding": gl.framebuffer([open_]),
                "lighting": gl.framebuffer([light]),
                "picture": gl.simple_framebuffer(size, 3),
            }  # fmt: skip
        return self.targets[width, height]

    def render(
        self, scene: Scene, width: int, height: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns uint8 RGB (h, w, 3) and float32 depth (h, w) in metres, 0 for sky."""
        scale = self.supersample
        wide, tall = width * scale, height * scale
        target, camera = self._targets(wide, tall), scene.camera
        longest = max(width, height)
        tangent = np.array([width, height]) / (2 * camera.focal * longest)
        models, rows = np.array(scene.models), np.array(scene.instances, np.float32)
        world_to_clip = perspective(*tangent, NEAR, FAR) @ world_to_eye(
            camera.position, camera.rotation
        )
        self._draw_shadow(scene, models, rows)
        self._draw_geometry(scene, models, rows, target, world_to_clip)
        self._draw_light(scene, target, tangent)
        self._draw_picture(scene, target)
        rgb = np.frombuffer(target["picture"].read(components=3), np.uint8)
        rgb = rgb.reshape(tall, wide, 3)[::-1]
        depth = np.frombuffer(target["depth"].read(), np.float32).reshape(tall, wide)[
            ::-1
        ]
        if scale > 1:
            blocks = rgb.reshape(height, scale, width, scale, 3)
            rgb = np.rint(blocks.mean((1, 3))).astype(np.uint8)
            depth = depth[scale // 2 :: scale, scale // 2 :: scale]
        return np.ascontiguousarray(rgb), np.ascontiguousarray(depth)

    def developed(self, scene: Scene, light: np.ndarray) -> np.ndarray:
        """Returns the camera's picture, uint8 (h, w, 3), of light drawn elsewhere.

        Args:
            scene: its look is applied, but for the lens, whose blur the light has.
            light: linear rgb (h, w, 3), in any unit: the camera meters it.
        """
        height, width, _ = light.shape
        target = self._targets(width, height)
        texels = np.dstack([np.clip(light, 0, 60000), np.ones((height, width))])
        target["light"].write(texels[::-1].astype(np.float16).tobytes())
        self.gl.disable(self.gl.DEPTH_TEST)
        self._draw_picture(scene, target, finished=True)
        rgb = np.frombuffer(target["picture"].read(components=3), np.uint8)
        return np.ascontiguousarray(rgb.reshape(height, width, 3)[::-1])

    # -- passes -----------------------------------------------------------------

    def _visible(self, models, rows, world_to_clip, least: float) -> np.ndarray:
        """Instances larger than ``least`` that touch the view, near ones first."""
        linear = rows[:, :12].reshape(-1, 3, 4)
        centre = np.einsum("nij,nj->ni", linear[:, :, :3], self.centres[models])
        centre += linear[:, :, 3]
        radius = self.radii[models] * np.linalg.norm(linear[:, :, :3], axis=1).max(1)
        ones = np.ones((len(centre), 1))
        clip = np.concatenate([centre, ones], 1) @ world_to_clip.T
        inside = radius > least
        for axis in range(3):
            for sign in (-1, 1):
                plane = world_to_clip[3] + sign * world_to_clip[axis]
                distance = clip[:, 3] + sign * clip[:, axis]
                inside &= distance > -radius * np.linalg.norm(plane[:3])
        order = np.nonzero(inside)[0]
        return order[np.argsort(clip[order, 3])][:MAX_DRAWS]

    def _issue(self, arrays, programs, models, rows, world_to_clip, least=0.0) -> None:
        """Draws what the view shows: two indirect calls, solid things first."""
        visible = self._visible(models, rows, world_to_clip, least)
        for cut, (array, program) in enumerate(zip(arrays, programs, strict=True)):
            chosen = visible[self.cutout[models[visible]] == cut]
            if len(chosen) == 0:
                continue
            commands = np.zeros((len(chosen), 5), np.uint32)
            commands[:, [0, 2, 3]] = self.ranges[models[chosen]]
            commands[:, 1] = 1
            commands[:, 4] = np.arange(len(chosen))
            self.instances.write(rows[chosen].tobytes())
            self.commands.write(commands.tobytes())
            matrix = world_to_clip.T.astype("f4").tobytes()
            program["u_world_to_clip"].write(matrix)
            for unit, name in enumerate(("u_materials", "u_textures")):
                if name in program:
                    program[name].value = unit
            self.materials.use(0)
            self.textures.use(1)
            array.render_indirect(self.commands, count=len(chosen))

    def _draw_shadow(self, scene, models, rows) -> None:
        light, camera = scene.light, scene.camera
        if light.key_is_lamp:
            pose = world_to_eye(light.key, facing(np.array([0, 0, 1.0])))
            matrix = perspective(LAMP_TANGENT, LAMP_TANGENT, 0.15, 60.0) @ pose
            self.light["u_shadow_size"].value = 2 * LAMP_TANGENT / SHADOW_SIZE
            least = 0.03
        else:
            reach = light.shadow_reach
            middle = camera.position - camera.rotation[:, 2] * reach * 0.8
            rotation = facing(light.key)
            position = middle + rotation[:, 2] * 4 * reach
            matrix = orthographic(reach, 0.1, 8 * reach) @ world_to_eye(
                position, rotation
            )
            texel = 2 * reach / SHADOW_SIZE
            self.light["u_shadow_size"].value = texel
            least = 2.5 * texel
        self.shadow_buffer.use()
        self.shadow_buffer.clear(depth=1.0)
        self.gl.enable_only(self.gl.DEPTH_TEST)
        self._issue(self.casters, self.shadow, models, rows, matrix, least)
        self.light["u_world_to_shadow"].write(matrix.T.astype("f4").tobytes())

    def _draw_geometry(self, scene, models, rows, target, world_to_clip) -> None:
        target["geometry"].use()
        target["geometry"].clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
        for program in self.geometry:
            program["u_camera"].value = tuple(scene.camera.position)
            program["u_forward"].value = tuple(-scene.camera.rotation[:, 2])
            program["u_bump"].value = scene.look.bump
        self._issue(self.meshes, self.geometry, models, rows, world_to_clip)

    def _draw_light(self, scene, target, tangent) -> None:
        program, light, camera = self.light, scene.light, scene.camera
        self.gl.disable(self.gl.DEPTH_TEST)
        for unit, name in enumerate(("albedo", "normal", "depth")):
            target[name].use(unit)
        view = {
            "u_normal": 1,
            "u_depth": 2,
            "u_camera": tuple(camera.position),
            "u_camera_to_world": tuple(camera.rotation.T.ravel()),
            "u_tangent": tuple(tangent),
        }
        target["occluding"].use()
        for name, value in (view | {"u_occlusion": (*light.occlusion, 0, 0)}).items():
            self.occlusion[name].value = value
        self.occluding.render(vertices=3)
        target["lighting"].use()
        target["open"].use(4)
        self.shadow_map.use(3)
        lamps = np.zeros((8, 4), np.float32)
        for number, (position, size, colour) in enumerate(light.lamps[:4]):
            lamps[2 * number] = (*position, size)
            lamps[2 * number + 1, :3] = colour
        lamps[0::2, 3] = np.maximum(lamps[0::2, 3], 0.05)
        values = view | {
            "u_albedo": 0,
            "u_shadow": 3,
            "u_open": 4,
            "u_key": (*_unit(light.key, light.key_is_lamp), float(light.key_is_lamp)),
            "u_key_colour": tuple(light.key_colour),
            "u_sky_ambient": tuple(light.sky),
            "u_ground_ambient": tuple(light.ground),
            "u_lights": [tuple(row) for row in lamps],
            "u_fog": light.fog,
            "u_horizon": tuple(light.horizon),
            "u_zenith": tuple(light.zenith),
            "u_clouds": light.clouds,
            "u_cloud_edge": light.cloud_edge,
        }
        for name, value in values.items():
            program[name].value = value
        self.lighting.render(vertices=3)

    def _draw_picture(self, scene, target, finished: bool = False) -> None:
        program, look = self.develop, scene.look
        target["light"].use(0)
        target["depth"].use(1)
        self.mean_buffer.use()
        self.metering.render(vertices=3)
        target["picture"].use()
        self.mean.use(2)
        for unit, name in enumerate(("u_light", "u_depth", "u_mean")):
            program[name].value = unit
        program["u_camera_look"].value = (
            look.key, look.vignette, look.contrast, look.saturation,
        )  # fmt: skip
        program["u_white"].value = look.white
        blur = look.focus[1] * self.supersample
        program["u_focus"].value = (look.focus[0], blur, finished, 0)
        self.developing.render(vertices=3)


def _unit(key: np.ndarray, is_lamp: bool) -> tuple[float, float, float]:
    return tuple(key if is_lamp else key / np.linalg.norm(key))
