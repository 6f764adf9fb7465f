#version 430
// The picture's mean luminance, as a camera meters it: one pixel.
uniform sampler2D u_light;
out vec4 out_mean;

void main() {
    float sum = 0.0;
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 24; x++) {
            vec3 light = textureLod(u_light, (vec2(x, y) + 0.5) / 24.0, 0.0).rgb;
            sum += min(dot(light, vec3(0.299, 0.587, 0.114)), 8.0);
        }
    out_mean = vec4(sum / 576.0);
}
