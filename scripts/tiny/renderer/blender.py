"""Draws a scene's colour with Blender's Cycles: light that is traced, not imitated.

Soft shadows, light from wall to wall, reflections, glass, metal, a lens. It has the
camera of `render.py`, whose depth it goes with; glass and mirrors have the depth of
their first surface. (This file cannot be called `cycles`: Blender imports its engine by
that name.)
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from render import FAR, NEAR, Renderer
from scene import Camera, Light, Scene
from sky import panorama
from triangles import EMISSION, Triangles, triangles

SAMPLES = 8
SKY_ROWS = 256
FILM = 36.0  # millimetres along the picture's longer side
PLAIN, SOLID, CUTOUT, GLOW = range(4)  # how a material is built


class Cycles:
    """Blender, kept with the materials of the scenes so far.

    Args:
        samples: rays per pixel before the denoiser.

    Raises:
        ImportError: bpy is not installed.
    """

    def __init__(self, samples: int = SAMPLES):
        import bpy
        import mathutils  # bpy's own

        self.bpy, self.matrix, self.kept = bpy, mathutils.Matrix, {}
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        self.scene, self.folder = scene, tempfile.TemporaryDirectory()
        self._settings(samples)
        self.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.camera = self.camera
        scene.collection.objects.link(self.camera)
        self.sky = self._world()

    def _settings(self, samples: int) -> None:
        render, cycles = self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        render.threads_mode, render.threads = "FIXED", 1  # one process, one core
        render.resolution_percentage = 100
        render.use_compositing = render.use_sequencer = False
        render.image_settings.file_format = "OPEN_EXR"
        render.image_settings.color_mode = "RGB"
        render.image_settings.color_depth = "32"
        render.image_settings.exr_codec = "NONE"
        render.filepath = os.path.join(self.folder.name, "light.exr")
        for name, value in {
            "device": "CPU", "samples": samples, "use_adaptive_sampling": False,
            "use_denoising": True, "denoiser": "OPENIMAGEDENOISE",
            "denoising_input_passes": "RGB_ALBEDO_NORMAL",
            "denoising_prefilter": "FAST", "use_auto_tile": False,
            "max_bounces": 4, "diffuse_bounces": 3, "glossy_bounces": 2,
            "transmission_bounces": 2, "transparent_max_bounces": 16,  # leaves
            "caustics_reflective": False, "caustics_refractive": False,
            "sample_clamp_indirect": 8.0, "blur_glossy": 1.0,
        }.items():  # fmt: skip
            setattr(cycles, name, value)

    def _world(self):
        """The sky's picture, as the world's light."""
        bpy = self.bpy
        world = self.scene.world = bpy.data.worlds.new("sky")
        tree = nodes_of(world)
        picture = tree.nodes.new("ShaderNodeTexEnvironment")
        picture.image = bpy.data.images.new(
            "sky", 2 * SKY_ROWS, SKY_ROWS, float_buffer=True
        )
        picture.image.colorspace_settings.name = "Linear Rec.709"
        # As light it is half as blue as it looks: cameras balance white for shade too.
        path = tree.nodes.new("ShaderNodeLightPath")
        share = tree.nodes.new("ShaderNodeMath")
        share.operation = "MULTIPLY_ADD"
        share.inputs[1].default_value = share.inputs[2].default_value = 0.5
        paler = tree.nodes.new("ShaderNodeHueSaturation")
        tree.links.new(path.outputs["Is Camera Ray"], share.inputs[0])
        tree.links.new(share.outputs[0], paler.inputs["Saturation"])
        tree.links.new(picture.outputs["Color"], paler.inputs["Color"])
        light = tree.nodes.new("ShaderNodeBackground")
        output = tree.nodes.new("ShaderNodeOutputWorld")
        tree.links.new(paler.outputs[0], light.inputs["Color"])
        tree.links.new(light.outputs[0], output.inputs["Surface"])
        world.cycles.sampling_method = "MANUAL"
        world.cycles.sample_map_resolution = 128
        return picture.image

    # -- materials --------------------------------------------------------------

    def material(self, scene: Scene, layer: int, build: int):
        """The material of a texture layer (-1: none), made once."""
        if (layer, build) not in self.kept:
            pixels = None if layer < 0 else scene.pack.pixels[layer]
            self.kept[layer, build] = self._material(f"{layer}.{build}", pixels, build)
        return self.kept[layer, build]

    def _material(self, name: str, pixels: np.ndarray | None, build: int):
        material = self.bpy.data.materials.new(name)
        tree = nodes_of(material)

        def node(kind: str, inputs=None, **values):
            made = tree.nodes.new(f"ShaderNode{kind}")
            for key, value in values.items():
                setattr(made, key, value)
            for key, value in (inputs or {}).items():
                if hasattr(value, "is_output"):
                    tree.links.new(value, made.inputs[key])
                else:
                    made.inputs[key].default_value = value
            return made

        tint = node("Attribute", attribute_name="tint").outputs
        kind = node("Attribute", attribute_name="kind").outputs
        parts = node("SeparateColor", {0: kind["Color"]}).outputs
        colour, normal = tint["Color"], None
        if pixels is not None:
            uv = node("Attribute", attribute_name="place").outputs["Vector"]
            texel = node("TexImage", {"Vector": uv}, image=self._image(name, pixels))
            both = {0: colour, 1: texel.outputs["Color"]}
            colour = node("VectorMath", both, operation="MULTIPLY").outputs[0]
        # Rough things (cloth, earth, plaster) hardly mirror the sky, even at an angle.
        rough = {0: tint["Alpha"], 1: -0.7, 2: 0.7}
        shine = node("Math", rough, operation="MULTIPLY_ADD").outputs[0]
        surface = {"Base Color": colour, "Metallic": parts[0],
                   "Roughness": tint["Alpha"], "Specular IOR Level": shine}  # fmt: skip
        if build == GLOW:
            glow = {"Color": colour, "Strength": parts[2]}
            shader = node("Emission", glow).outputs[0]
        elif build == CUTOUT:
            shader = node("BsdfPrincipled", surface).outputs[0]
            through = node("BsdfTranslucent", {"Color": colour}).outputs[0]
            leaf = node("MixShader", {0: 0.3, 1: shader, 2: through}).outputs[0]
            solid = {0: texel.outputs["Alpha"], 1: 0.4}
            mask = node("Math", solid, operation="GREATER_THAN").outputs[0]
            hole = node("BsdfTransparent").outputs[0]
            shader = node("MixShader", {0: mask, 1: hole, 2: leaf}).outputs[0]
        elif build == SOLID:
            relief = {"Height": texel.outputs["Color"], "Distance": kind["Alpha"]}
            normal = node("Bump", relief).outputs["Normal"]
            shader = node("BsdfPrincipled", surface | {"Normal": normal}).outputs[0]
        else:
            # Panes and bottles are sheets without a thickness: nothing is refracted.
            opaque = node("BsdfPrincipled", surface).outputs[0]
            clear = node("BsdfTransparent", {"Color": colour}).outputs[0]
            mirror = node("BsdfGlossy", {"Roughness": tint["Alpha"]}).outputs[0]
            angle = node("Fresnel", {"IOR": 1.8}).outputs[0]
            pane = node("MixShader", {0: angle, 1: clear, 2: mirror}).outputs[0]
            shader = node("MixShader", {0: parts[1], 1: opaque, 2: pane}).outputs[0]
        node("OutputMaterial", {"Surface": shader})
        material.cycles.emission_sampling = "NONE"
        return material

    def _image(self, name: str, pixels: np.ndarray):
        height, width, _ = pixels.shape
        image = self.bpy.data.images.new(name, width, height, alpha=True)
        image.alpha_mode = "CHANNEL_PACKED"
        values = pixels[::-1].astype(np.float32) / 255  # row 0 of Blender is the bottom
        image.pixels.foreach_set(np.ascontiguousarray(values).ravel())
        image.update()
        return image

    # -- a picture --------------------------------------------------------------

    def picture(self, renderer: Renderer, scene: Scene, depth: np.ndarray):
        """Returns uint8 rgb (h, w, 3) of a scene whose depth `renderer` has drawn."""
        light = hazed(scene, self.render(scene, *depth.shape[::-1]), depth)
        return renderer.developed(scene, light)

    def render(self, scene: Scene, width: int, height: int) -> np.ndarray:
        """Returns the light that reaches the camera, linear float32 rgb (h, w, 3)."""
        # The scene is complete, so its chance may go on; a child would not repeat.
        rng = np.random.default_rng(scene.rng.integers(2**63, size=2))
        found = triangles(scene, rng)
        glowing = found.kinds[:, EMISSION] > 0
        with self._things() as add:
            for name, mask in (("solid", ~glowing), ("glow", glowing)):
                if mask.any():
                    mesh = self._mesh(scene, found.chosen(mask), name == "glow")
                    thing = add(name, mesh)
                    # Round things of few triangles: no teeth where shade begins.
                    thing.shadow_terminator_geometry_offset = 0.4
                    if name == "glow":  # lamps inside it give its light
                        thing.visible_shadow = thing.visible_diffuse = False
            self._light(scene.light, scene.camera, add)
            self._aim(scene, width, height)
            self.scene.cycles.seed = int(rng.integers(2**31))
            self.bpy.ops.render.render(write_still=True)
        return self._read(width, height)

    @contextmanager
    def _things(self):
        """Gives a function that adds an object; all are removed afterwards."""
        bpy, made = self.bpy, []

        def add(name: str, data):
            thing = bpy.data.objects.new(name, data)
            self.scene.collection.objects.link(thing)
            made.append(data)
            return thing

        try:
            yield add
        finally:
            things = [t for t in self.scene.collection.objects if t.data in made]
            bpy.data.batch_remove(things + made)

    def _mesh(self, scene: Scene, found: Triangles, glow: bool):
        mesh, corners = self.bpy.data.meshes.new("mesh"), len(found.positions)
        mesh.vertices.add(corners)
        mesh.vertices.foreach_set("co", found.positions.astype(np.float32).ravel())
        mesh.loops.add(corners)
        mesh.loops.foreach_set("vertex_index", np.arange(corners, dtype=np.int32))
        mesh.polygons.add(corners // 3)
        starts = np.arange(0, corners, 3, dtype=np.int32)
        mesh.polygons.foreach_set("loop_start", starts)
        build = np.where(found.layers < 0, PLAIN, np.where(found.cutout, CUTOUT, SOLID))
        build = np.full_like(build, GLOW) if glow else build
        code = (found.layers + 1) * 4 + build
        codes, slots = np.unique(code, return_inverse=True)
        for number in codes:
            layer, how = int(number) // 4 - 1, int(number) % 4
            mesh.materials.append(self.material(scene, layer, how))
        mesh.polygons.foreach_set("material_index", slots.astype(np.int32).ravel())
        for name, kind, domain, values in (
            ("place", "FLOAT2", "POINT", found.uvs),  # "uv" is a name of Cycles' own
            ("custom_normal", "FLOAT_VECTOR", "POINT", found.normals),
            ("tint", "FLOAT_COLOR", "FACE", found.tints),
            ("kind", "FLOAT_COLOR", "FACE", found.kinds),
        ):
            data = mesh.attributes.new(name, kind, domain).data
            key = "color" if kind == "FLOAT_COLOR" else "vector"
            data.foreach_set(key, np.ascontiguousarray(values, np.float32).ravel())
        mesh.update(calc_edges=True)
        return mesh

    def _aim(self, scene: Scene, width: int, height: int) -> None:
        camera, lens = scene.camera, self.camera.data
        self.scene.render.resolution_x = width
        self.scene.render.resolution_y = height
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.rotation, camera.position
        self.camera.matrix_world = self.matrix(pose.tolist())
        lens.sensor_fit, lens.sensor_width = "AUTO", FILM
        lens.lens = camera.focal * FILM
        lens.clip_start, lens.clip_end = NEAR, FAR
        disparity, blur = scene.look.focus
        lens.dof.use_dof = blur > 0
        if blur > 0:
            # Blur's radius: aperture, focal length in pixels, disparity's difference.
            aperture = blur / (camera.focal * max(width, height))
            lens.dof.focus_distance = 1 / disparity
            lens.dof.aperture_fstop = lens.lens * 1e-3 / (2 * aperture)

    def _light(self, light: Light, camera: Camera, add) -> None:
        """The sky, the sun or the lamp with the shadow, and the other lamps.

        Strengths give a white surface the radiance that `light.frag` does.
        """
        rows = np.ones((SKY_ROWS, 2 * SKY_ROWS, 4), np.float32)
        rows[..., :3] = panorama(light, SKY_ROWS)
        self.sky.pixels.foreach_set(rows.ravel())
        self.sky.update()
        inside = light.fog[3] == 0
        method = "NONE" if inside else "MANUAL"
        self.scene.world.cycles.sampling_method = method
        if light.key_is_lamp:
            self._lamp(add, light.key, 0.12, light.key_colour)
        elif light.shadow_reach < 4:
            # A window out of view: walls that the sun's shadow map left out hide a sun.
            middle = camera.position - camera.rotation[:, 2] * light.shadow_reach * 0.8
            place = middle + 1.1 * light.key / np.linalg.norm(light.key)
            place[2] = min(place[2], 2.8)
            far = np.sum((place - middle) ** 2)
            self._lamp(add, place, 0.3, light.key_colour * far)
        else:
            strength = light.key_colour.max()
            sun = self.bpy.data.lights.new("sun", "SUN")
            sun.color, sun.energy = light.key_colour / strength, np.pi * strength
            sun.angle = 0.6 if strength < 0.8 and not inside else 0.009
            back = light.key / np.linalg.norm(light.key)
            side = np.cross([0, 0, 1.0] if abs(back[2]) < 0.9 else [0, 1.0, 0], back)
            side /= np.linalg.norm(side)
            pose = np.eye(4)
            pose[:3, :3] = np.stack([side, np.cross(back, side), back], 1)
            add("sun", sun).matrix_world = self.matrix(pose.tolist())
        for place, size, colour in light.lamps[:4]:
            self._lamp(add, place, 0.5 * size, colour)

    def _lamp(self, add, place, radius: float, colour) -> None:
        lamp = self.bpy.data.lights.new("lamp", "POINT")
        strength = max(float(np.max(colour)), 1e-6)
        lamp.color = np.asarray(colour) / strength
        lamp.energy = 4 * np.pi**2 * strength
        lamp.shadow_soft_size = radius
        thing = add("lamp", lamp)
        thing.location, thing.visible_camera = place, False

    def _read(self, width: int, height: int) -> np.ndarray:
        path = Path(self.scene.render.filepath)
        image = self.bpy.data.images.load(str(path), check_existing=False)
        values = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(values)
        self.bpy.data.images.remove(image)
        path.unlink()
        return values.reshape(height, width, 4)[::-1, :, :3]


def nodes_of(owner):
    """The emptied node tree of a material or world."""
    if owner.node_tree is None:
        owner.use_nodes = True
    owner.node_tree.nodes.clear()
    return owner.node_tree


def hazed(scene: Scene, light: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Returns light (h, w, 3) behind the haze; the sky, depth 0, has its own."""
    height, width = depth.shape
    focal = scene.camera.focal * max(width, height)
    x = (np.arange(width) + 0.5 - width / 2) / focal
    y = (np.arange(height) + 0.5 - height / 2) / focal
    distance = depth * np.sqrt(1 + x**2 + y[:, None] ** 2)
    *colour, density = scene.light.fog
    clear = np.exp(-density * distance)[..., None].astype(np.float32)
    return light * clear + np.array(colour, np.float32) * (1 - clear)
