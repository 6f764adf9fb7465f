#version 430
// Places one mesh instance in the shadow map.
in vec3 in_position;
in vec4 in_row0;
in vec4 in_row1;
in vec4 in_row2;
uniform mat4 u_world_to_clip;
#ifdef CUTOUT
in vec2 in_uv;
in uint in_material;
uniform sampler2D u_materials;
out vec2 v_uv;
flat out float v_layer;
#endif

void main() {
    vec4 local = vec4(in_position, 1.0);
    vec3 world = vec3(dot(in_row0, local), dot(in_row1, local), dot(in_row2, local));
    gl_Position = u_world_to_clip * vec4(world, 1.0);
#ifdef CUTOUT
    v_uv = in_uv;
    ivec2 at = ivec2((int(in_material) % 512) * 2 + 1, int(in_material) / 512);
    v_layer = texelFetch(u_materials, at, 0).x;
#endif
}
