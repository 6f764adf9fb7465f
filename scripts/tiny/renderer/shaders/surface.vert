#version 430
// Places one mesh instance for the geometry pass.
in vec3 in_position;
in vec4 in_normal;     // bytes: 128 is 0
in vec2 in_uv;
in uint in_material;
in vec4 in_row0;      // rows of the affine object-to-world matrix
in vec4 in_row1;
in vec4 in_row2;
in vec4 in_tint;      // rgb factor, gloss added to the material's
in vec4 in_surface;   // layer (-1: the mesh's own, -2: none), mapping, tile, emission

uniform mat4 u_world_to_clip;
uniform sampler2D u_materials;  // two texels per material: (rgb, gloss), (layer, -, -, -)

out vec3 v_world;
out vec3 v_normal;
out vec3 v_object;        // object space, but in metres
out vec3 v_object_normal;
out vec2 v_uv;
flat out vec4 v_albedo;   // rgb, gloss
flat out vec4 v_texture;  // layer, mapping (0 uv, 1 box), -, emission
flat out float v_tile;

void main() {
    vec4 local = vec4(in_position, 1.0);
    v_world = vec3(dot(in_row0, local), dot(in_row1, local), dot(in_row2, local));
    mat3 linear = transpose(mat3(in_row0.xyz, in_row1.xyz, in_row2.xyz));
    mat3 cofactor = mat3(cross(linear[1], linear[2]), cross(linear[2], linear[0]),
                         cross(linear[0], linear[1]));
    vec3 normal = (in_normal.xyz * 255.0 - 128.0) / 127.0;
    v_normal = cofactor * normal;
    vec3 size = vec3(length(linear[0]), length(linear[1]), length(linear[2]));
    v_object = in_position * size;
    v_object_normal = normal / size;
    int row = int(in_material) / 512, column = (int(in_material) % 512) * 2;
    vec4 colour = texelFetch(u_materials, ivec2(column, row), 0);
    vec4 extra = texelFetch(u_materials, ivec2(column + 1, row), 0);
    v_uv = in_uv;
    v_tile = 1.0;
    if (in_surface.x != -1.0) {
        v_albedo = vec4(in_tint.rgb, in_tint.a);
        v_texture = vec4(in_surface.x, in_surface.y, 0.0, in_surface.w);
        v_tile = in_surface.z;
    } else {
        v_albedo = vec4(colour.rgb * in_tint.rgb, clamp(colour.a + in_tint.a, 0.0, 1.0));
        v_texture = vec4(extra.x, 0.0, 0.0, in_surface.w);
    }
    gl_Position = u_world_to_clip * vec4(v_world, 1.0);
}
