#version 430
// Lights every pixel once: sun or lamp with shadow, point lights, ambient, fog, sky.
in vec2 v_screen;

uniform sampler2D u_albedo;
uniform sampler2D u_normal;
uniform sampler2D u_depth;
uniform sampler2D u_shadow;
uniform sampler2D u_open;         // 1 where no geometry nearby hides the surroundings

uniform vec3 u_camera;
uniform mat3 u_camera_to_world;   // columns: right, up, backward
uniform vec2 u_tangent;           // tangent of half the field of view, x and y
uniform mat4 u_world_to_shadow;
uniform vec4 u_key;               // xyz: direction to the sun (w 0) or lamp position (w 1)
uniform vec3 u_key_colour;
uniform float u_shadow_size;      // metres per shadow texel, at 1 m for a lamp
uniform vec3 u_sky_ambient;
uniform vec3 u_ground_ambient;
uniform vec4 u_lights[8];         // position, radius; colour, -
uniform vec4 u_fog;               // colour, density
uniform vec3 u_horizon;
uniform vec3 u_zenith;
uniform vec4 u_clouds;            // cover, scale, brightness, seed
uniform float u_cloud_edge;       // how soft they end

out vec4 out_colour;

float hash(vec2 p) {
    vec3 q = fract(vec3(p.xyx) * 0.1031);
    q += dot(q, q.yzx + 33.33);
    return fract((q.x + q.y) * q.z);
}

float value_noise(vec2 p) {
    vec2 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(hash(i), hash(i + vec2(1, 0)), f.x),
               mix(hash(i + vec2(0, 1)), hash(i + vec2(1, 1)), f.x), f.y);
}

vec3 sky(vec3 ray) {
    float up = max(ray.z, 0.0);
    vec3 colour = mix(u_horizon, u_zenith, 1.0 - pow(1.0 - up, 3.0));
    vec2 p = ray.xy / (up + 0.12) * u_clouds.y + u_clouds.w;
    float cloud = 0.0, weight = 0.5;
    for (int i = 0; i < 5; i++) {
        cloud += weight * value_noise(p);
        p = p * 2.03 + 17.7;
        weight *= 0.5;
    }
    float cover = smoothstep(1.0 - u_clouds.x, 1.0 - u_clouds.x + u_cloud_edge, cloud + 0.15);
    float shade = mix(1.0, 0.4, smoothstep(0.45, 0.85, cloud));
    colour = mix(colour, vec3(u_clouds.z * shade), cover * smoothstep(0.0, 0.12, up));
    if (u_key.w < 0.5) {
        float s = max(dot(ray, u_key.xyz), 0.0);
        colour += u_key_colour * (0.12 * pow(s, 24.0) + 0.4 * pow(s, 300.0)) * (1.0 - 0.7 * cover);
    }
    return mix(colour, u_horizon * 0.7, smoothstep(0.0, -0.15, ray.z));
}

float shadow(vec3 p, vec3 n, float turn) {
    float reach = u_key.w > 0.5 ? distance(p, u_key.xyz) : 1.0;
    vec4 clip = u_world_to_shadow * vec4(p + n * (u_shadow_size * reach * 2.6), 1.0);
    vec3 s = clip.xyz / clip.w * 0.5 + 0.5;
    if (any(lessThan(s, vec3(0.0))) || any(greaterThan(s, vec3(1.0)))) return 1.0;
    vec2 texel = 1.4 / vec2(textureSize(u_shadow, 0));
    float lit = 0.0, c = cos(turn), d = sin(turn);
    mat2 rotation = mat2(c, d, -d, c);
    const vec2 taps[5] = vec2[](vec2(0, 0), vec2(1, 0.3), vec2(-0.3, 1), vec2(-1, -0.3),
                                vec2(0.3, -1));
    for (int i = 0; i < 5; i++)
        lit += texture(u_shadow, s.xy + rotation * taps[i] * texel).r >= s.z - 2e-4 ? 0.2 : 0.0;
    return lit;
}

// The mean of 4 x 4 pixels, the size of the pattern in occlusion.frag.
float openness(vec2 uv) {
    vec2 texel = 1.0 / vec2(textureSize(u_open, 0));
    return 0.25 * (texture(u_open, uv + texel * vec2(-1, -1)).r +
                   texture(u_open, uv + texel * vec2(1, -1)).r +
                   texture(u_open, uv + texel * vec2(-1, 1)).r +
                   texture(u_open, uv + texel * vec2(1, 1)).r);
}

float specular(vec3 l, vec3 v, vec3 n, float gloss) {
    float power = exp2(2.0 + gloss * 8.0);
    return pow(max(dot(n, normalize(l + v)), 0.0), power) * (power + 8.0) * 0.004 * gloss;
}

void main() {
    vec2 uv = v_screen * 0.5 + 0.5;
    float z = texture(u_depth, uv).r;
    vec3 ray = u_camera_to_world * vec3(v_screen * u_tangent, -1.0);
    if (z <= 0.0) {
        out_colour = vec4(sky(normalize(ray)), 1.0);
        return;
    }
    vec4 surface = texture(u_albedo, uv), shape = texture(u_normal, uv);
    vec3 albedo = surface.rgb * surface.rgb, n = shape.xyz;
    vec3 p = u_camera + ray * z, v = -normalize(ray);
    float turn = 6.2832 * fract(52.9829 * fract(dot(gl_FragCoord.xy, vec2(0.06711, 0.00584))));
    float open = openness(uv), gloss = surface.a;

    vec3 to_key = u_key.w > 0.5 ? u_key.xyz - p : u_key.xyz;
    vec3 l = normalize(to_key);
    float facing = max(dot(n, l), 0.0);
    vec3 diffuse = vec3(0.0), shine = vec3(0.0);
    if (facing > 0.0) {
        float fall = u_key.w > 0.5 ? 1.0 / (0.3 + dot(to_key, to_key)) : 1.0;
        vec3 light = u_key_colour * shadow(p, n, turn) * fall;
        diffuse += light * facing;
        shine += light * specular(l, v, n, gloss);
    }
    for (int i = 0; i < 4; i++) {
        vec3 to_light = u_lights[2 * i].xyz - p;
        vec3 d = normalize(to_light);
        vec3 light = u_lights[2 * i + 1].rgb / (u_lights[2 * i].w + dot(to_light, to_light));
        diffuse += light * max(dot(n, d) * 0.8 + 0.2, 0.0) * mix(open, 1.0, 0.3);
        shine += light * specular(d, v, n, gloss) * open;
    }
    vec3 ambient = mix(u_ground_ambient, u_sky_ambient, n.z * 0.5 + 0.5);
    diffuse += ambient * open;
    vec3 mirror = reflect(-v, n);
    vec3 around = mix(u_ground_ambient, u_sky_ambient, smoothstep(-0.3, 0.5, mirror.z));
    float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(n, v), 0.0), 5.0);
    shine += around * open * fresnel * gloss;
    vec3 colour = albedo * diffuse + shine + albedo * shape.w;
    out_colour = vec4(mix(u_fog.rgb, colour, exp(-u_fog.w * z * length(ray))), 1.0);
}
