// SPDX-License-Identifier: Apache-2.0
// The panel of one bracket: its frames, result, slider, maps and all figures.
// Names come from anybody's files: everything is put in as text, never as markup.
"use strict";

const bracketflowPanel = (() => {
  const PREVIEW = 1, MAP = 2, STRIP = 4, WEIGHTS = 8, OTHER = 16;

  const GROUPS = [
    ["Scores", ["mef_ssim", "mef_ssim_preview", "gray_scale1", "gray_scale2", "gray_scale3",
      "color_8x8_adaptive_lum", "color_8x8_patch_lum", "mefnet_y_lum", "mefnet_y_nolum", "psnr_db",
      "ssim", "psnr_mu_db", "psnr_l_db", "ssim_mu", "ssim_l", "ghost_share", "clipped_low_share",
      "clipped_high_share", "entropy_bits", "piqe", "brisque", "score_note", "reference_uri", "reference_kind"]],
    ["How the group was formed", ["layout", "reason", "confidence", "source", "camera",
      "captured_s", "frame_count", "source_width", "source_height", "source_bits", "notes"]],
    ["How it was made", ["model", "model_reason", "reference_frame", "virtual_ev", "light_ratios",
      "light_estimated", "followed_share", "align_method", "align_shift_px", "align_residual_px",
      "crop_px", "device", "weights_sha256", "algorithm_version"]],
    ["The result", ["result_path", "result_format", "result_bits", "result_bytes", "width",
      "height", "display_path", "display_format", "result_sha256"]],
    ["Time", ["seconds_read", "seconds_align", "seconds_fuse", "seconds_score", "seconds_write",
      "finished_at", "worker", "run_id"]],
  ];

  const make = (tag, options = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options)) {
      if (name === "text") node.textContent = value;
      else if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) {
        node.setAttribute(name, value === true ? "" : value);
      }
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  };

  const LABELS = {
    mef_ssim: "MEF-SSIM", mef_ssim_preview: "MEF-SSIM of the picture", psnr_db: "PSNR",
    ssim: "SSIM", psnr_mu_db: "PSNR-µ", psnr_l_db: "PSNR-L", ssim_mu: "SSIM-µ", ssim_l: "SSIM-L",
    color_8x8_adaptive_lum: "colour, adaptive", color_8x8_patch_lum: "colour, by patch",
    mefnet_y_lum: "MEF-Net, with luminance", mefnet_y_nolum: "MEF-Net, without",
    gray_scale1: "finest scale", gray_scale2: "half size", gray_scale3: "quarter size",
    clipped_low_share: "crushed to black", clipped_high_share: "burnt to white",
    captured_s: "captured", result_sha256: "SHA-256", weights_sha256: "SHA-256 of the weights",
  };
  const label = (name) => LABELS[name] || name.replaceAll("_", " ").replace(/ (s|px|db|share)$/, "");

  const number = (value, digits) =>
    Number(value).toLocaleString("en", { maximumFractionDigits: digits });

  const stops = (ev) => `${ev < -0.05 ? "−" : ev > 0.05 ? "+" : "±"}${number(Math.abs(ev), 1)} EV`;

  const exposure = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    return seconds >= 0.3 ? `${number(seconds, 1)} s` : `1/${Math.round(1 / seconds)} s`;
  };

  // Where a bracket's small pictures are; ids are hexadecimal, so nothing has to be escaped.
  const picture = (root, row, ending) => `${root}/${row.id.slice(0, 2)}/${row.id}${ending}`;

  const image = (source, alt) => make("img", { src: source, alt, loading: "lazy", draggable: "false" });

  // One frame of a strip: the strip is as many frames high, and is pushed up by those before it.
  const piece = (source, alt, at, of, ratio) => {
    const shown = image(source, alt);
    shown.style.transform = `translateY(${(-100 * at) / of}%)`;
    shown.style.aspectRatio = `${ratio[0]} / ${ratio[1] * of}`;
    const box = make("span", { class: "piece" }, shown);
    box.style.aspectRatio = `${ratio[0]} / ${ratio[1]}`;
    return box;
  };

  const value = (column, raw) => {
    if (Array.isArray(raw)) return raw.map((one) => value(column, one)).join(", ");
    if (typeof raw === "boolean") return raw ? "yes" : "no";
    if (column.name === "captured_s") return new Date(raw * 1000).toISOString().slice(0, 19).replace("T", " ");
    if (column.name === "finished_at") return new Date(raw * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
    if (column.name === "result_bytes" || column.name === "display_bytes") return `${number(raw / 1e6, 2)} MB`;
    if (column.unit === "0..1") return `${number(raw * 100, 2)} %`;
    if (typeof raw === "number") return number(raw, Math.abs(raw) < 10 ? 4 : 2) + (column.unit ? ` ${column.unit}` : "");
    return String(raw);
  };

  return (data, dialog, steps) => {
    const columns = new Map(data.columns.map((column) => [column.name, column]));
    const records = new Map();
    const waiting = new Map();
    let shownRow = null;
    let opener = null;

    // Details lie in files of their own, loaded as scripts: pages from a disk must not fetch.
    data.details = (chunk, list) => records.set(chunk, list);
    const details = (row) => {
      const chunk = Math.floor(row.index / data.chunk);
      if (records.has(chunk)) return Promise.resolve(records.get(chunk)[row.index % data.chunk]);
      if (!waiting.has(chunk)) {
        waiting.set(chunk, new Promise((done) => {
          const script = make("script", { src: `${data.made}/details-${String(chunk).padStart(4, "0")}.js` });
          script.addEventListener("load", done);
          script.addEventListener("error", () => { waiting.delete(chunk); done(); });
          document.head.append(script);
        }));
      }
      return waiting.get(chunk).then(() => (records.get(chunk) || [])[row.index % data.chunk] || null);
    };

    const slider = (before, after, label) => {
      const top = make("div", { class: "layer" }, before);
      const line = make("span", { class: "line", "aria-hidden": "true" });
      const stage = make("div", { class: "stage" }, make("div", { class: "layer" }, after), top, line);
      const input = make("input", { type: "range", min: 0, max: 100, value: 50, step: 1, "aria-label": label });
      const move = () => {
        top.style.clipPath = `inset(0 ${100 - input.value}% 0 0)`;
        line.style.left = `${input.value}%`;
      };
      const drag = (event) => {
        if (!event.buttons && event.type !== "pointerdown") return;
        const box = stage.getBoundingClientRect();
        input.value = Math.round(((event.clientX - box.left) / box.width) * 100);
        move();
      };
      stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
      stage.addEventListener("pointermove", drag);
      input.addEventListener("input", move);
      move();
      return make("div", { class: "slider" }, stage, input);
    };

    const viewer = (row, record) => {
      const has = (flag) => (row.pictures & flag) !== 0;
      const ratio = row.width && row.height ? [row.width, row.height] : [3, 2];
      const frames = record ? record.frames : [];
      const shownFrames = record && record.shown ? record.shown : frames.map((_, k) => k);
      const result = has(PREVIEW) ? picture(data.previews, row, ".jpg") : null;
      const strip = has(STRIP) ? picture(data.previews, row, "_frames.jpg") : null;
      const whole = (source, alt) => {
        const box = make("span", { class: "piece" }, image(source, alt));
        box.style.aspectRatio = `${ratio[0]} / ${ratio[1]}`;
        return box;
      };
      const box = make("div", { class: "view" });
      const bar = make("div", { class: "modes", role: "group", "aria-label": "What is shown" });
      let frame = Math.floor((shownFrames.length - 1) / 2);
      let mode = null;

      const modes = new Map();
      if (result && strip && shownFrames.length) {
        modes.set("Before / after", () => {
          const name = frames[shownFrames[frame]].name;
          const caption = make("p", { class: "ends" }, make("span", { text: `frame ${shownFrames[frame] + 1}: ${name}` }), make("span", { text: "fused" }));
          return [slider(
            piece(strip, `Frame ${name}`, frame, shownFrames.length, ratio),
            whole(result, `Fused picture of ${row.path}`),
            "How much of the frame is shown over the fused picture",
          ), caption];
        });
      }
      if (result) modes.set("Fused", () => [make("div", { class: "stage" }, whole(result, `Fused picture of ${row.path}`))]);
      if (has(OTHER) && result) {
        modes.set("The other's", () => [slider(
          whole(picture(data.otherPreviews, row, ".jpg"), `The other fused picture of ${row.path}`),
          whole(result, `Fused picture of ${row.path}`),
          "How much of the other picture is shown over this one",
        ), make("p", { class: "ends" }, make("span", { text: data.other }), make("span", { text: "this one" }))]);
      }
      if (has(MAP)) {
        modes.set("MEF-SSIM map", () => [
          make("div", { class: "stage" }, whole(picture(data.previews, row, "_map.png"), `Map of MEF-SSIM of ${row.path}: bright where the structure of the frames is kept`)),
          make("p", { class: "ends" }, make("span", { text: "0: structure lost" }), make("span", { class: "ramp", "aria-hidden": "true" }), make("span", { text: "1: all kept" })),
        ]);
      }
      if (has(WEIGHTS) && shownFrames.length) {
        const source = picture(data.previews, row, "_weights.jpg");
        modes.set("Weights", () => [
          make("div", { class: "weights" }, ...shownFrames.map((index, k) => make("figure", {},
            piece(source, `How much frame ${index + 1} counts: lighter is more`, k, shownFrames.length, ratio),
            make("figcaption", { text: `frame ${index + 1}` })))),
          make("p", { class: "hint", text: "How much each frame counts, worked out at this size: lighter is more, black is nothing." }),
        ]);
      }
      const buttons = new Map();
      const show = (name) => {
        mode = name;
        for (const [other, button] of buttons) button.setAttribute("aria-pressed", String(other === name));
        box.replaceChildren(...modes.get(name)());
      };
      for (const name of modes.keys()) {
        const button = make("button", { type: "button", text: name, onclick: () => show(name) });
        buttons.set(name, button);
        bar.append(button);
      }
      if (modes.size) show(modes.keys().next().value);
      else box.append(make("p", { class: "empty", text: row.status === "fused" ? "No pictures were kept of this bracket." : "There is no picture: nothing was fused." }));

      // Stops against the frame in the middle, as photographers count them.
      const middle = frames.length ? frames[Math.floor((frames.length - 1) / 2)].ev : undefined;
      const list = make("ol", { class: "frames" }, ...frames.map((one, index) => {
        const at = shownFrames.indexOf(index);
        const facts = [exposure(one.time), one.ev === undefined || middle === undefined ? "" : stops(one.ev - middle)].filter(Boolean).join(", ");
        const inner = [
          strip && at >= 0 ? piece(strip, "", at, shownFrames.length, ratio) : null,
          make("span", { class: "file", text: one.name }),
          facts ? make("span", { class: "facts", text: facts }) : null,
        ];
        if (!strip || at < 0 || !modes.has("Before / after")) return make("li", {}, make("span", { class: "frame" }, ...inner));
        return make("li", {}, make("button", { type: "button", class: "frame", title: "Show this frame beside the fused picture", onclick: () => { frame = at; show("Before / after"); } }, ...inner));
      }));
      return [make("div", { class: "viewer" }, modes.size > 1 ? bar : null, box), make("h3", { text: `Frames (${frames.length})` }), list];
    };

    const facts = (row, record) => {
      if (!record) return [make("p", { class: "empty", text: "The details of this bracket are missing: the folder of the page is not complete." })];
      const link = (name, text) => {
        if (name !== "result_path" && name !== "display_path") return null;
        if (data.results === null || !record[name + "_inside"]) return null;
        return make("a", { href: `${data.results}/${text.split("/").map(encodeURIComponent).join("/")}`, text });
      };
      const placed = new Set([...GROUPS.flatMap(([, names]) => names), "error_code", "error_message", "error_stage"]);
      const others = ["Further", data.columns.map((column) => column.name).filter((name) => !placed.has(name))];
      return [...GROUPS, others].map(([title, names]) => {
        const lines = names.filter((name) => record[name] !== undefined).map((name) => {
          const column = columns.get(name);
          const text = value(column, record[name]);
          if (text === "") return null;
          return make("div", {}, make("dt", { text: label(name) }),
            make("dd", { class: text.length > 30 ? "long" : "" }, link(name, text) || text),
            make("dd", { class: "meaning", text: column.meaning }));
        }).filter((line) => line !== null);
        return lines.length ? make("section", {}, make("h3", { text: title }), make("dl", { class: "facts" }, ...lines)) : null;
      }).filter((group) => group !== null);
    };

    const failure = (row, record) => {
      if (!row.code || !record) return null;
      return make("div", { class: "failure", role: "note" },
        make("p", {}, make("code", { text: row.code }), make("span", { text: record.error_stage ? ` while: ${record.error_stage}` : "" })),
        make("p", { text: record.error_message || data.codes[row.code] || "" }));
    };

    const head = (row) => {
      const others = steps(row);
      const go = (label, key, to) => make("button", { type: "button", class: "step", disabled: !to, "aria-label": label, title: `${label} (${key})`, text: label === "Previous" ? "‹" : "›", onclick: () => to && goTo(to) });
      const score = row.score === null ? null : make("span", { class: "score", text: row.score.toFixed(4), title: "MEF-SSIM" });
      const change = row.delta === null || row.delta === undefined ? null : make("span", { class: row.delta >= 0 ? "delta up" : "delta down", text: `${row.delta >= 0 ? "+" : "−"}${Math.abs(row.delta).toFixed(4)}`, title: `against ${data.other}` });
      return make("header", {},
        make("h2", { id: "panel-title" }, make("small", { text: row.folder ? `${row.folder}/` : "" }), make("span", { text: row.name })),
        make("p", { class: "tags" }, make("span", { class: `status ${row.status}`, text: row.status }), score, change),
        make("p", { class: "steps" }, go("Previous", "←", others.previous), go("Next", "→", others.next),
          make("button", { type: "button", class: "close", "aria-label": "Close", title: "Close (Esc)", text: "×", onclick: () => dialog.close() })));
    };

    const goTo = (row) => history.replaceState(null, "", `#b=${row.id}`) || open(row);

    const open = async (row) => {
      shownRow = row;
      if (!dialog.open) opener = document.activeElement;
      const record = await details(row);
      if (shownRow !== row) return;
      const body = make("div", { class: "body", tabindex: "-1" },
        make("div", { class: "left" }, failure(row, record), ...viewer(row, record)),
        make("div", { class: "right" }, ...facts(row, record)));
      dialog.replaceChildren(head(row), body);
      if (!dialog.open) dialog.showModal();
      body.focus();
    };

    dialog.addEventListener("keydown", (event) => {
      if (event.target.matches("input") || event.altKey || event.ctrlKey || event.metaKey) return;
      const others = steps(shownRow);
      const to = { ArrowLeft: others.previous, ArrowRight: others.next }[event.key];
      if (to) { event.preventDefault(); goTo(to); }
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => {
      shownRow = null;
      history.replaceState(null, "", location.pathname + location.search);
      if (opener && opener.isConnected) opener.focus();
    });
    return { open, picture, make };
  };
})();
