"""USDZ, what iPhone and iPad show in space, written by Pixar's `usd-core` package.

https://openusd.org/release/spec_usdz.html
"""

import importlib
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from jax_depth.formats.optional import optional_module


def usd_module() -> ModuleType:
    """Return `pxr`.

    Raises:
        ValueError: it is not installed.
    """
    return optional_module("pxr", "USDZ needs", "mesh", "usd-core")


def write_usdz(
    path: Path,
    points: Float32[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "m 3"],
    uv: Float32[np.ndarray, "n 2"],
    texture: bytes,
) -> None:
    """Write a mesh in metres, y up, that shines in its texture's own light.

    Args:
        path: the file.
        points: in the world, OpenCV's axes: y down, z forward.
        triangles: points counter-clockwise as the camera sees them.
        uv: place of each point in the texture, (0, 0) its upper left corner.
        texture: a JPEG file.

    Raises:
        ValueError: usd-core is not installed.
        OSError: the file cannot be written.
    """
    usd_module()
    names = ("Gf", "Sdf", "Usd", "UsdGeom", "UsdShade", "UsdUtils", "Vt")
    # Compiled modules, whose contents no checker of types sees.
    modules: Any = [importlib.import_module(f"pxr.{name}") for name in names]
    Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt = modules
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photo.jpg").write_bytes(texture)
        stage = Usd.Stage.CreateNew(str(folder / "mesh.usdc"))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/scene").GetPrim())
        mesh = UsdGeom.Mesh.Define(stage, "/scene/mesh")
        upright = points * np.array([1, -1, -1], np.float32)
        mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(upright))
        counts = np.full(len(triangles), 3, np.int32)
        mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(counts))
        corners = np.ascontiguousarray(triangles, np.int32).ravel()
        mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(corners))
        mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        mesh.CreateDoubleSidedAttr(True)
        bounds = np.stack([upright.min(0), upright.max(0)])
        mesh.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(bounds))
        st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
            "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
        )
        # From the lower left corner.
        flipped = np.ascontiguousarray(np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1))
        st.Set(Vt.Vec2fArray.FromNumpy(flipped))
        material = UsdShade.Material.Define(stage, "/scene/photo")

        def shader(name: str, kind: str) -> Any:
            made = UsdShade.Shader.Define(stage, f"/scene/photo/{name}")
            made.CreateIdAttr(kind)
            return made

        types = Sdf.ValueTypeNames
        place = shader("place", "UsdPrimvarReader_float2")
        place.CreateInput("varname", types.String).Set("st")
        photo = shader("texture", "UsdUVTexture")
        photo.CreateInput("file", types.Asset).Set("photo.jpg")
        photo.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
        for wrap in ("wrapS", "wrapT"):
            photo.CreateInput(wrap, types.Token).Set("clamp")
        photo.CreateInput("st", types.Float2).ConnectToSource(
            place.CreateOutput("result", types.Float2)
        )
        surface = shader("surface", "UsdPreviewSurface")
        surface.CreateInput("emissiveColor", types.Color3f).ConnectToSource(
            photo.CreateOutput("rgb", types.Float3)
        )
        surface.CreateInput("diffuseColor", types.Color3f).Set(Gf.Vec3f(0))
        surface.CreateInput("roughness", types.Float).Set(1.0)
        material.CreateSurfaceOutput().ConnectToSource(
            surface.CreateOutput("surface", types.Token)
        )
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        stage.Save()
        packed = folder / "packed.usdz"
        if not UsdUtils.CreateNewUsdzPackage(str(folder / "mesh.usdc"), str(packed)):
            raise OSError(f"{path}: usd-core could not write it")
        path.write_bytes(packed.read_bytes())
