#version 430
// One triangle that covers the picture.
out vec2 v_screen;  // -1..1

void main() {
    v_screen = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2) * 2.0 - 1.0;
    gl_Position = vec4(v_screen, 0.0, 1.0);
}
