#version 430
// Camera: automatic exposure, edge smoothing, vignette, tone curve.
in vec2 v_screen;

uniform sampler2D u_light;
uniform sampler2D u_depth;
uniform sampler2D u_mean;
uniform vec4 u_camera_look;  // key (grey of the mean), vignette, contrast, saturation
uniform vec3 u_white;        // white balance
uniform vec4 u_focus;        // disparity in focus, blur per disparity (pixels),
                             // 1 where the light is smooth and blurred already, -

out vec4 out_colour;

vec3 developed(vec3 light, float gain) {
    vec3 x = light * gain * u_white;
    x = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14);  // Narkowicz's ACES fit
    x = pow(clamp(x, 0.0, 1.0), vec3(1.0 / 2.2));
    x = mix(vec3(0.5), x, u_camera_look.z);
    return mix(vec3(dot(x, vec3(0.299, 0.587, 0.114))), x, u_camera_look.w);
}

vec3 squashed(vec2 uv, float gain) {
    vec3 x = texture(u_light, uv).rgb * gain;
    return x / (1.0 + x);
}

vec3 unsquashed(vec3 x, float gain) {
    return x / (1.0001 - x) / gain;
}

// Lottes, "FXAA" (2009), the two-direction short version.
vec3 edge_smoothed(vec2 uv, vec2 texel, float gain) {
    const vec3 grey = vec3(0.299, 0.587, 0.114);
    vec3 centre = squashed(uv, gain);
    float c = dot(centre, grey);
    float nw = dot(squashed(uv + texel * vec2(-1, 1), gain), grey);
    float ne = dot(squashed(uv + texel * vec2(1, 1), gain), grey);
    float sw = dot(squashed(uv + texel * vec2(-1, -1), gain), grey);
    float se = dot(squashed(uv + texel * vec2(1, -1), gain), grey);
    float low = min(c, min(min(nw, ne), min(sw, se)));
    float high = max(c, max(max(nw, ne), max(sw, se)));
    if (high - low < 0.04) return centre;
    vec2 way = vec2(-((nw + ne) - (sw + se)), (nw + sw) - (ne + se));
    way.y = -way.y;
    way.x = -way.x;
    float least = 1.0 / (min(abs(way.x), abs(way.y)) + 0.02);
    way = clamp(way * least, -4.0, 4.0) * texel;
    vec3 short_ = 0.5 * (squashed(uv - way / 6.0, gain) + squashed(uv + way / 6.0, gain));
    vec3 long_ = 0.5 * short_ +
                 0.25 * (squashed(uv - way * 0.5, gain) + squashed(uv + way * 0.5, gain));
    float l = dot(long_, grey);
    return l < low || l > high ? short_ : long_;
}

vec3 smoothed(vec2 uv, vec2 texel, float gain) {
    vec3 centre = texture(u_light, uv).rgb;
    if (u_focus.z > 0.5) return centre;
    float z = texture(u_depth, uv).r;
    float blur = abs((z > 0.0 ? 1.0 / z : 0.0) - u_focus.x) * u_focus.y;
    if (blur > 0.7) {
        vec3 sum = centre;
        float weight = 1.0;
        for (int i = 0; i < 12; i++) {
            float a = float(i) * 2.4, r = sqrt((float(i) + 0.5) / 12.0) * min(blur, 6.0);
            vec2 at = uv + r * texel * vec2(cos(a), sin(a));
            float other = texture(u_depth, at).r;
            float spread = abs((other > 0.0 ? 1.0 / other : 0.0) - u_focus.x) * u_focus.y;
            float w = clamp(spread - r + 1.5, 0.02, 1.0);
            sum += w * min(texture(u_light, at).rgb, vec3(30.0));
            weight += w;
        }
        return sum / weight;
    }
    return unsquashed(edge_smoothed(uv, texel, gain), gain);
}

void main() {
    vec2 uv = v_screen * 0.5 + 0.5, texel = 1.0 / vec2(textureSize(u_light, 0));
    float gain = u_camera_look.x / max(texelFetch(u_mean, ivec2(0), 0).r, 1e-4);
    vec3 colour = developed(smoothed(uv, texel, gain), gain);
    out_colour = vec4(colour * (1.0 - u_camera_look.y * dot(v_screen, v_screen)), 1.0);
}
