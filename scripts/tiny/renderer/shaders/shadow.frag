#version 430
// Depth only; foliage keeps its holes.
#ifdef CUTOUT
in vec2 v_uv;
flat in float v_layer;
uniform sampler2DArray u_textures;
#endif

void main() {
#ifdef CUTOUT
    if (v_layer >= 0.0 && texture(u_textures, vec3(v_uv, v_layer)).a < 0.4) discard;
#endif
}
