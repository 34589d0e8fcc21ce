// Turnable meshes for a page opened from disk. One WebGL context draws all views and copies each picture
// into the canvas of its view, so that a page may hold as many as it likes.
"use strict";
(() => {
  const VERTEX = `#version 300 es
    in vec3 position; in vec3 normal; in vec3 color;
    uniform mat3 turn; uniform vec3 centre; uniform vec2 focal; uniform float scale, dist, tint;
    out vec3 n, at, base;
    void main() {
      at = turn * (position - centre) * scale - vec3(0, 0, dist);
      n = turn * normal;
      base = mix(vec3(0.87, 0.83, 0.78), color, tint);
      float near = max(dist - 1.5, 0.02), far = dist + 1.5;
      gl_Position = vec4(at.xy * focal, (-at.z * (far + near) - 2.0 * far * near) / (far - near), -at.z);
    }`;
  // A soft studio fixed to the camera: warm key from the upper left, cool fill, light from above, faint sheen.
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec3 n, at, base; out vec4 pixel;
    uniform float wire;
    void main() {
      if (wire > 0.5) { pixel = vec4(0.0, 0.0, 0.0, 1.0) * 0.35; return; }
      vec3 d = normalize(gl_FrontFacing ? n : -n), eye = normalize(-at);
      float key = max(dot(d, normalize(vec3(-0.4, 0.6, 0.75))), 0.0);
      float fill = 0.5 + 0.5 * dot(d, normalize(vec3(0.8, 0.05, 0.35)));
      float sky = 0.5 + 0.5 * d.y;
      vec3 light = key * vec3(0.72, 0.67, 0.60) + fill * fill * vec3(0.20, 0.23, 0.28) + sky * sky * vec3(0.14);
      float sheen = pow(max(dot(d, normalize(eye + normalize(vec3(-0.4, 0.6, 0.75)))), 0.0), 24.0);
      float rim = pow(1.0 - max(dot(d, eye), 0.0), 3.0);
      vec3 linear = pow(base, vec3(2.2)) * (light * 1.25) + 0.035 * sheen + 0.05 * rim;
      pixel = vec4(pow(linear, vec3(1.0 / 2.2)), 1.0);
    }`;
  const FOV = 0.5, START = { yaw: -0.2, pitch: 0.1, zoom: 1 };

  const minus = (a, b) => a.map((x, i) => x - b[i]);
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const cross = (a, b) => [0, 1, 2].map((i) => a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3]);
  const unit = (a) => a.map((x) => x / Math.hypot(...a));

  // --- data: see packing.py ---

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function column(bytes, start, count, width) {
    const out = new Uint32Array(count), mask = width === 4 ? -1 : (1 << (8 * width)) - 1;
    for (let i = 0, sum = 0; i < count; i++) {
      for (let b = 0; b < width; b++) sum += bytes[start + b * count + i] << (8 * b);
      sum &= mask;
      out[i] = sum;
    }
    return out;
  }

  async function unpack(about, text) {
    const bytes = await inflate(text), V = about.vertices;
    const positions = new Float32Array(3 * V), colors = new Uint8Array(3 * V).fill(200);
    let at = 0;
    for (let k = 0; k < 3; k++, at += 2 * V)
      column(bytes, at, V, 2).forEach((q, i) => (positions[3 * i + k] = about.step * q));
    for (let k = 0; k < 3 && about.colors; k++, at += V)
      column(bytes, at, V, 1).forEach((q, i) => (colors[3 * i + k] = q));
    return { positions, colors, faces: column(bytes, at, 3 * about.faces, 4) };
  }

  function normals(positions, faces) {
    const sum = new Float32Array(positions.length);
    const corner = (i) => [positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]];
    for (let f = 0; f < faces.length; f += 3) {
      const [a, b, c] = [corner(faces[f]), corner(faces[f + 1]), corner(faces[f + 2])];
      const area = cross(minus(b, a), minus(c, a));
      for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) sum[3 * faces[f + j] + k] += area[k];
    }
    for (let i = 0; i < sum.length; i += 3) {
      const length = Math.hypot(sum[i], sum[i + 1], sum[i + 2]) || 1;
      for (let k = 0; k < 3; k++) sum[i + k] /= length;
    }
    return sum;
  }

  function edges(faces, V) {
    const seen = new Set(), lines = [];
    for (let f = 0; f < faces.length; f++) {
      const a = faces[f], b = faces[f % 3 === 2 ? f - 2 : f + 1], key = Math.min(a, b) * V + Math.max(a, b);
      if (!seen.has(key)) { seen.add(key); lines.push(a, b); }
    }
    return new Uint32Array(lines);
  }

  // --- the one context ---

  const screen = document.createElement("canvas");
  const gl = screen.getContext("webgl2", { antialias: true, alpha: true });
  const program = gl && link();
  const where = (name) => gl.getUniformLocation(program, name);

  function link() {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(made, shader);
    }
    ["position", "normal", "color"].forEach((name, i) => gl.bindAttribLocation(made, i, name));
    gl.linkProgram(made);
    return made;
  }

  function upload(mesh) {
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    const columns = [[mesh.positions, gl.FLOAT, false], [normals(mesh.positions, mesh.faces), gl.FLOAT, false], [mesh.colors, gl.UNSIGNED_BYTE, true]];
    columns.forEach(([data, kind, fraction], i) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(i);
      gl.vertexAttribPointer(i, 3, kind, fraction, 0, 0);
    });
    return array;
  }

  function indices(data) {
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, data, gl.STATIC_DRAW);
    return { buffer, count: data.length };
  }

  // --- a view ---

  const links = {};

  class View {
    constructor(root) {
      this.root = root;
      this.about = JSON.parse(root.dataset.mesh);
      this.camera = this.about.link ? (links[this.about.link] ??= { ...START, views: [] }) : { ...START, views: [] };
      this.camera.views.push(this);
      this.canvas = root.appendChild(document.createElement("canvas"));
      this.colored = this.about.colors;
      this.wired = false;
      this.visible = false;
      this.tools();
      this.gestures();
    }

    async load() {
      this.loading ??= unpack(this.about, this.root.querySelector("script").textContent).then((mesh) => {
        this.mesh = mesh;
        const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
        mesh.positions.forEach((x, i) => { low[i % 3] = Math.min(low[i % 3], x); high[i % 3] = Math.max(high[i % 3], x); });
        this.centre = low.map((x, k) => (x + high[k]) / 2);
        this.scale = 2 / Math.hypot(...minus(high, low));
        this.array = upload(mesh);
        this.triangles = indices(mesh.faces);
        const up = unit(this.about.up), front = unit(minus(this.about.front, up.map((x) => x * dot(up, this.about.front))));
        this.axes = [cross(up, front), up, front];
        this.redraw();
      });
    }

    tools() {
      const bar = this.root.appendChild(document.createElement("div"));
      bar.className = "tools";
      const button = (name, act, pressed) => {
        const made = bar.appendChild(document.createElement("button"));
        made.textContent = name;
        if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
        made.addEventListener("click", () => { const on = act(); if (pressed !== undefined) made.setAttribute("aria-pressed", on); this.redraw(); });
        made.addEventListener("pointerdown", (e) => e.stopPropagation());
      };
      if (this.about.colors) button("colour", () => (this.colored = !this.colored), true);
      button("wires", () => (this.wired = !this.wired), false);
      button("reset", () => this.move(() => Object.assign(this.camera, START)));
    }

    gestures() {
      const fingers = new Map(), root = this.root;
      const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
      root.addEventListener("pointerdown", (e) => { root.setPointerCapture(e.pointerId); fingers.set(e.pointerId, { x: e.clientX, y: e.clientY }); });
      root.addEventListener("pointermove", (e) => {
        const before = fingers.get(e.pointerId);
        if (!before) return;
        const old = fingers.size === 2 ? spread() : 0, pace = 5 / root.clientWidth;
        fingers.set(e.pointerId, { x: e.clientX, y: e.clientY });
        if (fingers.size === 2) this.move((c) => (c.zoom *= spread() / (old || 1)));
        else this.move((c) => { c.yaw += (e.clientX - before.x) * pace; c.pitch += (e.clientY - before.y) * pace; });
      });
      for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, (e) => fingers.delete(e.pointerId));
      root.addEventListener("dblclick", () => this.move((c) => Object.assign(c, START)));
      root.addEventListener("wheel", (e) => {
        if (!e.ctrlKey && !root.matches(":focus")) return; // a page must scroll past a mesh; click it to zoom
        e.preventDefault();
        this.move((c) => (c.zoom *= Math.exp(-e.deltaY * 0.0012)));
      }, { passive: false });
      root.addEventListener("keydown", (e) => {
        const step = { ArrowLeft: ["yaw", -0.15], ArrowRight: ["yaw", 0.15], ArrowUp: ["pitch", -0.1], ArrowDown: ["pitch", 0.1] }[e.key];
        if (step) this.move((c) => (c[step[0]] += step[1]));
        else if (e.key === "+" || e.key === "-") this.move((c) => (c.zoom *= e.key === "+" ? 1.15 : 1 / 1.15));
        else return;
        e.preventDefault();
      });
    }

    move(change) {
      const c = this.camera;
      change(c);
      c.pitch = Math.max(-1.5, Math.min(1.5, c.pitch));
      c.zoom = Math.max(0.4, Math.min(12, c.zoom));
      c.views.forEach((view) => view.redraw());
    }

    redraw() {
      if (!this.mesh || !this.visible || this.asked) return;
      this.asked = requestAnimationFrame(() => { this.asked = 0; this.draw(); });
    }

    draw() {
      const ratio = Math.min(devicePixelRatio || 1, 2);
      const width = Math.round(this.root.clientWidth * ratio), height = Math.round(this.root.clientHeight * ratio);
      if (!width || !height) return;
      if (screen.width < width || screen.height < height) { screen.width = Math.max(width, screen.width); screen.height = Math.max(height, screen.height); }
      const c = this.camera, [sy, cy, sp, cp] = [Math.sin(c.yaw), Math.cos(c.yaw), Math.sin(c.pitch), Math.cos(c.pitch)];
      const [r, u, f] = this.axes, yawed = [0, 1, 2].map((k) => cy * r[k] + sy * f[k]), back = [0, 1, 2].map((k) => cy * f[k] - sy * r[k]);
      const rows = [yawed, u.map((x, k) => cp * x - sp * back[k]), u.map((x, k) => sp * x + cp * back[k])];
      const focal = 1 / Math.tan(FOV / 2), tall = Math.min(1, width / height);
      gl.viewport(0, 0, width, height);
      gl.enable(gl.DEPTH_TEST);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.useProgram(program);
      gl.uniformMatrix3fv(where("turn"), true, rows.flat());
      gl.uniform3fv(where("centre"), this.centre);
      gl.uniform2f(where("focal"), c.zoom * focal * tall * (height / width), c.zoom * focal * tall);
      gl.uniform1f(where("scale"), this.scale);
      gl.uniform1f(where("dist"), 0.94 / Math.sin(FOV / 2));
      gl.uniform1f(where("tint"), this.colored ? 1 : 0);
      gl.bindVertexArray(this.array);
      this.pass(gl.TRIANGLES, this.triangles, 0);
      if (this.wired) this.pass(gl.LINES, (this.lines ??= indices(edges(this.mesh.faces, this.about.vertices))), 1);
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
      const paper = this.canvas.getContext("2d");
      paper.clearRect(0, 0, width, height);
      paper.drawImage(screen, 0, screen.height - height, width, height, 0, 0, width, height);
    }

    pass(kind, part, wire) {
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, part.buffer);
      gl.uniform1f(where("wire"), wire);
      wire ? gl.disable(gl.POLYGON_OFFSET_FILL) : gl.enable(gl.POLYGON_OFFSET_FILL);
      gl.polygonOffset(1, 1);
      wire ? gl.enable(gl.BLEND) : gl.disable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.drawElements(kind, part.count, gl.UNSIGNED_INT, 0);
    }
  }

  const views = new Map();
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const view = views.get(entry.target);
    view.visible = entry.isIntersecting;
    if (view.visible) view.load().then(() => view.redraw());
  }), { rootMargin: "200px" });
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => views.get(entry.target).redraw()));

  document.querySelectorAll(".view").forEach((root) => {
    if (!gl) {
      root.insertAdjacentHTML("beforeend", '<div class="note">This browser has no WebGL 2.</div>');
      return;
    }
    views.set(root, new View(root));
    watcher.observe(root);
    sizes.observe(root);
  });
})();
