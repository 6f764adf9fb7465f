"""A depth map in metres and a camera in three dimensions, as files other programs open.

from jax_depth.outputs import scene

camera, source = scene.find_camera("room.jpg", depth.shape)
room = scene.Scene(photo, depth, camera)
scene.save(room, "room.glb")                        # a mesh textured with the photo
"""

from jax_depth.formats.exif import camera_from_focal as camera_from_focal
from jax_depth.formats.exif import camera_from_view as camera_from_view
from jax_depth.formats.exif import find_camera as find_camera
from jax_depth.outputs.scene.files import SCENE_FORMATS as SCENE_FORMATS
from jax_depth.outputs.scene.files import Scene as Scene
from jax_depth.outputs.scene.files import save as save
from jax_depth.outputs.scene.metres import between as between
from jax_depth.outputs.scene.normals import normal_map as normal_map
from jax_depth.outputs.scene.normals import normals as normals
from jax_depth.outputs.scene.stereo import anaglyph as anaglyph
from jax_depth.outputs.scene.stereo import stereo_pair as stereo_pair
from jax_depth.outputs.scene.surface import Surface as Surface
from jax_depth.outputs.scene.surface import lift as lift
