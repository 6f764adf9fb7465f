#version 430
// Ambient occlusion from the depth buffer; noisy on a 4 x 4 pattern, smoothed later.
in vec2 v_screen;

uniform sampler2D u_normal;
uniform sampler2D u_depth;
uniform vec3 u_camera;
uniform mat3 u_camera_to_world;
uniform vec2 u_tangent;
uniform vec4 u_occlusion;  // radius (m), strength, -, -

out float out_open;

// McGuire et al., "The Alchemy screen-space ambient obscurance algorithm" (2011).
float occlusion(vec2 uv, vec3 p, vec3 n, float z, float turn) {
    float radius = u_occlusion.x, sum = 0.0;
    vec2 reach = min(vec2(radius / z) / u_tangent * 0.5, vec2(0.18));
    for (int i = 0; i < 9; i++) {
        float r = (float(i) + 0.5) / 9.0, a = turn + float(i) * 2.4;
        vec2 at = uv + reach * r * vec2(cos(a), sin(a));
        float other = texture(u_depth, at).r;
        if (other <= 0.0) continue;
        vec2 screen = at * 2.0 - 1.0;
        vec3 q = u_camera + u_camera_to_world * (vec3(screen * u_tangent, -1.0) * other);
        vec3 v = q - p;
        float square = dot(v, v);
        float fall = max(0.0, 1.0 - square / (radius * radius));
        sum += fall * max(0.0, dot(v, n) - 0.004 * z) / (square + 0.01) * radius;
    }
    return max(0.0, 1.0 - u_occlusion.y * sum / 9.0);
}

void main() {
    vec2 uv = v_screen * 0.5 + 0.5;
    float z = texture(u_depth, uv).r;
    if (z <= 0.0) {
        out_open = 1.0;
        return;
    }
    vec3 p = u_camera + u_camera_to_world * vec3(v_screen * u_tangent, -1.0) * z;
    ivec2 cell = ivec2(gl_FragCoord.xy) % 4;
    float turn = float((cell.x * 4 + cell.y * 7) % 16) * 0.3927;
    out_open = occlusion(uv, p, texture(u_normal, uv).xyz, z, turn);
}
