#version 430
// Writes albedo, world normal and exact distance along the optical axis.
in vec3 v_world;
in vec3 v_normal;
in vec3 v_object;
in vec3 v_object_normal;
in vec2 v_uv;
flat in vec4 v_albedo;
flat in vec4 v_texture;
flat in float v_tile;

uniform sampler2DArray u_textures;
uniform vec3 u_camera;
uniform vec3 u_forward;
uniform float u_bump;

layout(location = 0) out vec4 out_albedo;  // square root of linear rgb; gloss
layout(location = 1) out vec4 out_normal;  // world normal; emission
layout(location = 2) out float out_depth;  // metres along the optical axis

vec2 box_mapping(vec3 p, vec3 n) {
    vec3 a = abs(n);
    if (a.z >= a.x && a.z >= a.y) return p.xy;
    return a.x > a.y ? p.yz : p.xz;
}

// Mikkelsen, "Bump mapping unparametrized surfaces on the GPU" (2010).
vec3 bumped(vec3 n, float height) {
    vec3 dx = dFdx(v_world), dy = dFdy(v_world);
    vec3 rx = cross(dy, n), ry = cross(n, dx);
    float det = dot(dx, rx);
    vec3 gradient = sign(det) * (dFdx(height) * rx + dFdy(height) * ry);
    return normalize(abs(det) * n - gradient);
}

void main() {
    vec4 texel = vec4(1.0);
    vec3 n = normalize(v_normal);
    vec3 to_camera = u_camera - v_world;
    if (dot(n, to_camera) < 0.0) n = -n;
    if (v_texture.x >= 0.0) {
        vec2 uv = v_texture.y > 0.5 ? box_mapping(v_object, v_object_normal) / v_tile
                                    : v_uv * v_tile;
        texel = texture(u_textures, vec3(uv, v_texture.x));
#ifdef CUTOUT
        if (texel.a < 0.4) discard;
#endif
        float height = dot(texel.rgb, vec3(0.333));
        n = bumped(n, height * u_bump);
    }
    out_albedo = vec4(texel.rgb * v_albedo.rgb, v_albedo.a);
    out_normal = vec4(n, v_texture.w);
    out_depth = dot(-to_camera, u_forward);
}
