
// ---- the timeline, with zoom

const view = (() => {
  const place = document.getElementById("timeline");
  const canvas = make("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", "Timeline. Left and right: previous and next child; up and down: another slot; plus and minus: zoom; 0: show all; A and D: move; Enter: the tests of the child.");
  const tools = make("div", { className: "tools" });
  const details = make("p", { id: "details" });
  details.setAttribute("role", "status");
  const tip = make("div", { id: "tip", hidden: true });
  const LEFT = 84, RIGHT = 8, TOP = 2;
  const tall = run.slots.length <= 8 ? 34 : 16;
  const rows = ["controller", ...(run.collection.length ? ["collection"] : []), ...run.slots];
  const firstSlot = rows.length - run.slots.length;
  const height = rows.length * tall + 26;
  let from = 0, to = Math.max(run.length, 1), selected = null, chosen = null, width = 0, waiting = false, dragged = null;
  const context = canvas.getContext("2d");
  const perPoint = () => (to - from) / Math.max(1, width - LEFT - RIGHT);
  const x = (at) => LEFT + (at - from) / perPoint();

  function colours() {
    const style = getComputedStyle(root);
    return new Proxy({}, { get: (known, name) => (known[name] ??= style.getPropertyValue(`--${name}`).trim() || "#888") });
  }
  let colour = colours();

  // What is narrower than a point is drawn as a part of it, once: no more shapes than points, whatever the run.
  function pen(top, tall) {
    let last = -1, kinds = {};
    const flush = () => {
      let most = "", longest = 0;
      for (const kind in kinds) if (kinds[kind] > longest) { most = kind; longest = kinds[kind]; }
      if (most) { context.fillStyle = colour[most]; context.fillRect(last, top, 1, tall); }
      kinds = {};
    };
    return {
      bar(kind, begin, length) {
        if (length <= 0) return;
        const a = x(begin), b = x(begin + length);
        if (b < LEFT || a > width - RIGHT) return;
        if (b - a < 1) {
          const point = Math.floor(a);
          if (point !== last) { flush(); last = point; }
          kinds[kind] = (kinds[kind] ?? 0) + length;
          return;
        }
        flush(); last = -1;
        const begun = Math.max(a, LEFT);
        context.fillStyle = colour[kind];
        context.fillRect(begun, top, Math.min(b, width - RIGHT) - begun, tall);
      },
      end: flush,
    };
  }
  function name(text, begin, length, y) {
    const a = Math.max(x(begin), LEFT), room = Math.min(x(begin + length), width - RIGHT) - a - 3;
    if (room < 18) return;
    let fits = text;
    if (context.measureText(fits).width > room) {
      while (fits.length > 2 && context.measureText(fits + "…").width > room) fits = fits.slice(0, -1);
      if (fits.length < 6) return;
      fits += "…";
    }
    context.fillText(fits, a, y);
  }
  function mark(at, y) {
    const a = x(at);
    if (a < LEFT - 1 || a > width) return;
    context.beginPath(); context.moveTo(a, y); context.lineTo(a - 3.5, y + 5); context.lineTo(a + 3.5, y + 5);
    context.fillStyle = colour.mark; context.fill();
  }
  function drawChild(child, draw) {
    let last = child.begin;
    const zoomed = (child.end - child.begin) / perPoint() >= 2;
    if (!zoomed) {
      const spent = { setup: 0, call: 0, teardown: 0 };
      for (const round of child.rounds) for (const kind in spent) spent[kind] += round[kind];
      const most = Object.keys(spent).reduce((a, b) => (spent[b] > spent[a] ? b : a));
      draw.bar(spent[most] ? most : "other", child.begin, child.end - child.begin);
      return;
    }
    for (const round of child.rounds) {
      if (round.begin > to) break;
      draw.bar("other", last, round.begin - last);
      let at = round.begin;
      for (const kind of ["setup", "call", "teardown"]) { draw.bar(kind, at, round[kind]); at += round[kind]; }
      last = at;
    }
    draw.bar("other", last, child.end - last);
  }
  function axis() {
    context.font = "11px system-ui, sans-serif"; context.textAlign = "center";
    const length = (to - from) * run.unit;
    let step = 10 ** Math.floor(Math.log10(length / Math.max(2, (width - LEFT) / 110)));
    for (const factor of [1, 2, 5, 10]) if (length / (step * factor) <= (width - LEFT) / 100) { step *= factor; break; }
    const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
    for (let at = Math.ceil((from * run.unit) / step - 1e-9) * step; at <= to * run.unit + 1e-9; at += step) {
      const a = Math.round(x(at / run.unit)) + 0.5;
      context.strokeStyle = colour.line; context.beginPath(); context.moveTo(a, 0); context.lineTo(a, height - 20); context.stroke();
      context.fillStyle = colour.quiet; context.fillText(`${at.toFixed(decimals)} s`, Math.min(a, width - 18), height - 6);
    }
  }
  function paint() {
    waiting = false;
    const scale = window.devicePixelRatio || 1;
    width = canvas.clientWidth;
    if (!width) return;
    if (canvas.width !== Math.round(width * scale)) {
      canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale); canvas.style.height = `${height}px`;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    axis();
    rows.forEach((label, number) => row(label, number));
    if (chosen) outline(chosen.begin, chosen.end, children[chosen.child].slot, 2);
    else if (selected) outline(selected.begin, selected.end, selected.slot, 2);
  }
  function row(label, number) {
    const top = TOP + number * tall, named = tall > 20;
    const barTop = named ? top + 13 : top + 1, barTall = named ? tall - 20 : tall - 6;
    context.font = "11px system-ui, sans-serif"; context.textAlign = "right"; context.fillStyle = colour.ink;
    context.fillText(label, LEFT - 8, barTop + barTall / 2 + 4);
    context.textAlign = "left"; context.font = "10px system-ui, sans-serif";
    const draw = pen(barTop, barTall);
    if (number === 0) {
      for (const [name, begin, length] of run.phases) draw.bar(name === "run" ? "run" : "phase", begin, length);
      draw.end();
      context.fillStyle = colour.paper;
      for (const [, begin] of run.phases.slice(1)) if (x(begin) > LEFT) context.fillRect(x(begin) - 0.5, barTop, 1, barTall);
    } else if (number < firstSlot) {
      for (const [, begin, length, imports] of run.collection) {
        draw.bar("imports", begin, Math.min(imports, length)); draw.bar("collect", begin + Math.min(imports, length), length - Math.min(imports, length));
      }
      draw.end();
    } else {
      for (const child of lanes[number - firstSlot]) if (child.end >= from && child.begin <= to) drawChild(child, draw);
      draw.end();
      for (const child of lanes[number - firstSlot]) {
        if (child.end < from || child.begin > to) continue;
        if (child.ending) mark(child.end, barTop + barTall);
        for (const round of child.rounds) if (bad.has(round.test.outcome)) mark(round.begin, barTop + barTall);
      }
    }
    if (!named) return;
    context.fillStyle = colour.quiet;
    if (number === 0) for (const [text, begin, length] of run.phases) name(text, begin, length, top + 9);
    else if (number < firstSlot) for (const [file, begin, length] of run.collection) name(base(file), begin, length, top + 9);
    else for (const child of lanes[number - firstSlot]) if (child.end >= from && child.begin <= to) name(base(child.file), child.begin, child.end - child.begin, top + 9);
  }
  function outline(begin, end, slot, thick) {
    const top = TOP + (firstSlot + slot) * tall + (tall > 20 ? 13 : 1);
    const a = Math.max(x(begin), LEFT), b = Math.min(Math.max(x(end), x(begin) + 2), width - RIGHT);
    if (b < a) return;
    context.strokeStyle = colour.select; context.lineWidth = thick;
    context.strokeRect(a - 1, top - 1, b - a + 2, (tall > 20 ? tall - 20 : tall - 6) + 2);
    context.lineWidth = 1;
  }
  const base = (file) => { const path = run.files[file]; return path.slice(path.lastIndexOf("/") + 1); };
  function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(paint); } }

  function show(begin, end) {
    const least = 5, length = Math.min(Math.max(end - begin, least), run.length || 1);
    from = Math.min(Math.max(begin, 0), Math.max((run.length || 1) - length, 0)); to = from + length;
    whole.disabled = out.disabled = length >= run.length;
    redraw();
  }
  function zoom(factor, at = (from + to) / 2) { show(at - (at - from) * factor, at + (to - at) * factor); }
  function move(part) { const by = (to - from) * part; show(from + by, to + by); }
  function reveal(begin, end) {
    if (begin >= from && end <= to && (end - begin) / perPoint() > 3) { redraw(); return; }
    const around = Math.max((end - begin) * 1.5, (to - from) * 0.02, 200);
    show(begin - around, end + around);
  }
  const childText = (child) => {
    const parts = [run.files[child.file], `${run.slots[child.slot]}, ${run.how[child.how] ?? child.how}`,
      `${shown(child.end - child.begin)} from ${shown(child.begin)}`, `${child.rounds.length} test${child.rounds.length === 1 ? "" : "s"}`];
    if (child.cpu >= 0) parts.push(`CPU ${shown(child.cpu)}`);
    if (child.ending) parts.push(child.ending);
    return parts.join(" · ");
  };
  const roundText = (round) => `${round.test.nodeid} · ${run.outcomes[round.test.outcome]} · setup ${shown(round.setup)}, call ${shown(round.call)}, teardown ${shown(round.teardown)}`;
  function select(child, round = null) {
    selected = child; chosen = round;
    details.textContent = round ? `${roundText(round)} · in ${childText(child)}` : childText(child);
    if (round) reveal(round.begin, round.end); else reveal(child.begin, child.end);
  }
  function under(event) {
    const box = canvas.getBoundingClientRect();
    const number = Math.floor((event.clientY - box.top - TOP) / tall), at = from + (event.clientX - box.left - LEFT) * perPoint();
    if (event.clientX - box.left < LEFT || number < 0 || number >= rows.length) return null;
    const near = perPoint() * 2;
    if (number === 0) return { phase: run.phases.find(([, begin, length]) => at >= begin && at <= begin + length) };
    if (number < firstSlot) return { file: run.collection.find(([, begin, length]) => at >= begin - near && at <= begin + length + near) };
    const child = lanes[number - firstSlot].find((each) => at >= each.begin - near && at <= each.end + near);
    if (!child) return null;
    return { child, round: child.rounds.find((round) => at >= round.begin && at <= round.end) ?? null };
  }
  function tipText(hit) {
    if (hit.phase) return `${hit.phase[0]} · ${shown(hit.phase[2])}`;
    if (hit.file) return `${run.files[hit.file[0]]}\ncollection ${shown(hit.file[2])}, of which imports ${shown(hit.file[3])}`;
    if (hit.round) return `${roundText(hit.round)}\n${childText(hit.child)}`;
    return hit.child ? childText(hit.child) : "";
  }
  function hover(event) {
    if (dragged) {
      const by = (dragged.x - event.clientX) * perPoint();
      dragged.moved = dragged.moved || Math.abs(dragged.x - event.clientX) > 3;
      if (dragged.moved) { const length = dragged.to - dragged.from; show(dragged.from + by, dragged.from + by + length); }
      tip.hidden = true;
      return;
    }
    const hit = under(event), text = hit ? tipText(hit) : "";
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > window.innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
  }
  const keys = {
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": () => show(0, run.length),
    a: () => move(-0.2), d: () => move(0.2),
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => lane(1), ArrowUp: () => lane(-1),
    Enter: () => { if (selected && filterTests) filterTests(run.files[selected.file]); },
    Escape: () => { selected = chosen = null; details.textContent = hint; tip.hidden = true; redraw(); },
  };
  function step(by) {
    const own = lanes[selected?.slot ?? 0] ?? [];
    const next = own[selected ? own.indexOf(selected) + by : 0];
    if (next) select(next);
  }
  function lane(by) {
    const own = lanes[(selected?.slot ?? -1) + by];
    if (!own?.length) return;
    const at = selected ? selected.begin : 0;
    select(own.find((child) => child.end >= at) ?? own[own.length - 1]);
  }
  const hint = "Point at a bar, click it or use the arrow keys. Plus and minus, or Ctrl and the wheel, zoom; drag to move.";
  const control = (label, act) => { const made = make("button", { type: "button" }, label); made.addEventListener("click", act); tools.append(made); return made; };
  control("Zoom in", () => zoom(0.6));
  const out = control("Zoom out", () => zoom(1 / 0.6));
  const whole = control("Show all", () => show(0, run.length));
  if (children.length) control("Only the run", () => {
    const spans = children.reduce(([a, b], child) => [Math.min(a, child.begin), Math.max(b, child.end)], [Infinity, 0]);
    show(spans[0], spans[1]);
  });
  let filterTests = null;

  function open() {
    place.append(tools, canvas, details);
    document.body.append(tip);
    details.textContent = hint;
    canvas.addEventListener("pointermove", hover);
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("pointerdown", (event) => { dragged = { x: event.clientX, from, to, moved: false }; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", (event) => {
      const was = dragged; dragged = null;
      if (was && !was.moved) { const hit = under(event); if (hit?.child) select(hit.child, hit.round); }
    });
    canvas.addEventListener("dblclick", (event) => { const box = canvas.getBoundingClientRect(); zoom(0.4, from + (event.clientX - box.left - LEFT) * perPoint()); });
    canvas.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.008), from + (event.clientX - box.left - LEFT) * perPoint());
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = keys[event.key];
      if (act) { event.preventDefault(); act(); }
    });
    new ResizeObserver(redraw).observe(canvas);
    for (const media of ["print", "(prefers-color-scheme: dark)"]) matchMedia(media).addEventListener("change", () => { colour = colours(); paint(); });
    show(0, run.length);
  }
  return {
    open,
    filterBy(filter) { filterTests = filter; },
    toFile(file) { const child = children.find((each) => each.file === file) ?? null; if (child) { scroll(); select(child); } },
    toTest(test) { const round = test.rounds[test.rounds.length - 1]; if (round) { scroll(); select(children[round.child], round); } },
  };
  function scroll() { document.getElementById("timeline").scrollIntoView({ block: "center" }); canvas.focus({ preventScroll: true }); }
})();
