/* Keys, dialogs, clipboard, toasts and the live version. Everything here is comfort: each page works without it. */
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const body = document.body;
  const token = () => $('meta[name="csrf-token"]')?.content ?? "";

  /* --- toasts: text only, never markup ------------------------------------------------------------------------- */

  function toast({ text, undo = null, kind = "done" }) {
    const place = $("#toasts");
    if (!place || !text) return;
    const box = document.createElement("div");
    box.className = kind === "wrong" ? "toast wrong" : "toast";
    const words = document.createElement("span");
    words.textContent = text;
    box.append(words);
    if (undo) {
      const form = document.createElement("form");
      form.method = "post";
      form.action = undo;
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = "csrf_token";
      field.value = token();
      const button = document.createElement("button");
      button.className = "button tiny";
      button.dataset.undo = "";
      button.textContent = body.dataset.undoWord;
      form.append(field, button);
      box.append(form);
    }
    place.append(box);
    while (place.children.length > 3) place.firstElementChild.remove();
    lapse(box, undo ? 30000 : 6000);
  }

  function lapse(box, time) {
    let timer = setTimeout(() => box.remove(), time);
    box.addEventListener("mouseenter", () => clearTimeout(timer));
    box.addEventListener("focusin", () => clearTimeout(timer));
    box.addEventListener("mouseleave", () => { timer = setTimeout(() => box.remove(), 4000); });
  }

  $$("#toasts .toast").forEach((box) => lapse(box, $("[data-undo]", box) ? 30000 : 10000));
  body.addEventListener("toast", (event) => {
    const list = event.detail?.value ?? event.detail;
    for (const one of Array.isArray(list) ? list : [list]) toast(one);
  });
  // A conversation that is gone says so once, in its own place: what else the answers to its polls say is not heard.
  body.addEventListener("htmx:beforeOnLoad", (event) => {
    const { target, xhr, requestConfig } = event.detail;
    if (xhr.status !== 404 || !["new-mail", "links"].includes(target.id) || requestConfig?.triggeringEvent?.type !== "live") return;
    event.preventDefault();
    $("#gone").hidden = false;
  });
  body.addEventListener("htmx:responseError", (event) => {
    const { status } = event.detail.xhr;
    if (event.detail.xhr.getResponseHeader("HX-Trigger")?.includes('"toast"')) return; // the answer says its own sentence
    toast({ text: status === 429 ? body.dataset.slowWord : body.dataset.wrongWord, kind: "wrong" });
  });
  body.addEventListener("htmx:sendError", () => toast({ text: body.dataset.offlineWord, kind: "wrong" }));

  /* --- copying ------------------------------------------------------------------------------------------------- */

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const field = document.createElement("textarea");
      field.value = text;
      body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    toast({ text: body.dataset.copiedWord + " " + text });
    if (button) {
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    }
  }

  /* --- clicks -------------------------------------------------------------------------------------------------- */

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    const copies = target.closest("[data-copy]");
    if (copies) {
      event.preventDefault();
      copy(copies.dataset.copy, copies);
    }
    const opens = target.closest("[data-opens]");
    if (opens) {
      event.preventDefault();
      openDialog(opens.dataset.opens);
    }
    if (target.closest("[data-closes]")) target.closest("dialog")?.close();
    if (target instanceof HTMLDialogElement) target.close();
    const taller = target.closest("[data-taller]");
    if (taller) {
      const frame = document.getElementById(taller.dataset.taller);
      const tall = frame?.classList.toggle("tall");
      taller.setAttribute("aria-expanded", String(Boolean(tall)));
    }
    for (const menu of $$("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
  });

  function openDialog(id) {
    const dialog = document.getElementById(id);
    if (!(dialog instanceof HTMLDialogElement) || dialog.open) return;
    $$("details.menu[open]").forEach((menu) => { menu.open = false; });
    dialog.showModal();
    $("[autofocus], input:not([type=hidden])", dialog)?.focus();
  }

  // A menu that holds a field is opened to type into it; none is cut off by the edge of what scrolls.
  document.addEventListener("toggle", (event) => {
    const menu = event.target;
    if (!(menu instanceof HTMLDetailsElement) || !menu.open || !menu.classList.contains("menu")) return;
    $(".finder input", menu)?.focus();
    $(".sheet", menu)?.scrollIntoView({ block: "nearest" });
  }, true);

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.asks ?? event.target.dataset?.question;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
    if (event.target.matches("[data-selects-all]")) $$('.row input[type="checkbox"]').forEach((box) => { box.checked = event.target.checked; });
    tellSelected();
  });
  function tellSelected() {
    const place = $(".bulk [data-selected]");
    if (place) place.textContent = String($$(".row input:checked").length);
  }
  // The way back to the list is the way the reader came, so that the place in it is kept.
  document.addEventListener("click", (event) => {
    const crumb = event.target instanceof Element && event.target.closest("a.crumb");
    if (!crumb || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const from = document.referrer && new URL(document.referrer);
    if (from && from.origin === location.origin && from.pathname === new URL(crumb.href).pathname && history.length > 1) {
      event.preventDefault();
      history.back();
    }
  });

  // A browser that forbids storage forgets it.
  const stored = (name, value, store = () => localStorage) => {
    try {
      if (value !== undefined) store().setItem(name, value);
      return store().getItem(name);
    } catch {
      return value ?? null;
    }
  };
  // WCAG 2.1.4: keys of one letter can be switched off.
  const single = $("[data-single-keys]");
  if (single) {
    body.dataset.keys = stored("single-keys") === "off" ? "off" : "on";
    single.checked = body.dataset.keys === "on";
    single.addEventListener("change", () => {
      body.dataset.keys = single.checked ? "on" : "off";
      stored("single-keys", body.dataset.keys);
    });
  }

  $$("[data-shown-by-script]").forEach((element) => { element.hidden = false; });

  /* --- what htmx does to focus ---------------------------------------------------------------------------------- */

  // A form that was refused as a whole page comes with its first wrong field in sight.
  const refused = $('[aria-invalid="true"]');
  if (refused) {
    refused.focus();
    refused.scrollIntoView({ block: "center" });
  }

  // Whoever comes back to one mail of a conversation finds it open.
  // The way back from what is said of it leads to the address that the conversation has then.
  document.addEventListener("click", (event) => {
    const mail = event.target instanceof Element && event.target.closest('a[href^="/messages/"]')?.closest("details.message");
    if (mail) history.replaceState(history.state, "", `#${mail.id}`);
  });
  const meant = /^#mail-\d+$/.test(location.hash) && $(location.hash);
  if (meant) {
    meant.open = true;
    meant.scrollIntoView();
  }

  // On a phone the bars run on beyond the screen: where the reader is comes into sight.
  for (const bar of $$(".rail, .tabs")) {
    const here = $("[aria-current]", bar);
    if (!here) continue;
    const [place, around] = [here.getBoundingClientRect(), bar.getBoundingClientRect()];
    bar.scrollLeft += place.left - around.left - (bar.clientWidth - place.width) / 2;
  }

  // A live refresh must not take a form away from under the reader's hands.
  body.addEventListener("htmx:beforeSwap", (event) => {
    const asked = event.detail.requestConfig?.triggeringEvent?.type;
    const target = event.detail.target;
    if (asked === "live" && (target.contains(document.activeElement) || $("details.menu[open], .finder .found:not(:empty), form[data-open]", target))) {
      event.detail.shouldSwap = false;
    }
    held = target.matches?.("section[id]") && target.contains(document.activeElement) ? target.id : "";
    const row = target.matches?.("li[data-may]") && $(".row", target);
    leaving = row && (row.classList.contains("here") || row.contains(document.activeElement)) ? { id: target.id, at: rows().indexOf(row), here: row.classList.contains("here") } : null;
  });
  body.addEventListener("htmx:afterSwap", (event) => {
    const root = event.detail.target;
    const wrong = $('[aria-invalid="true"]', root.isConnected ? root : document);
    const menu = root.isConnected && root.closest?.("details.menu[open]");
    if (wrong) wrong.focus();
    else if (menu) $(".finder input", root)?.focus();
    if (menu) $(".sheet", menu)?.scrollIntoView({ block: "nearest" });
    // What had the focus is gone with the panel it stood in: its heading takes it, so that Tab goes on from there.
    const heading = held && document.activeElement === body && $(`#${CSS.escape(held)} h2`);
    if (heading) {
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
    }
    held = "";
    tellSelected();
  });
  let held = "";

  // A row that was drawn anew keeps the keyboard; one that left the list hands it to the next. (Of a row that left nothing is swapped in, so no afterSwap tells of it.)
  let leaving = null;
  body.addEventListener("htmx:afterRequest", () => {
    if (leaving) stayAt(leaving);
    leaving = null;
  });
  function stayAt({ id, at, here }) {
    const list = rows();
    const row = $(`#${CSS.escape(id)} .row`) ?? list[Math.min(at, list.length - 1)];
    if (!row) return;
    if (here) stand(row);
    ($("details.menu[open] .sheet :is(input:not([type=hidden]), button)", row.parentElement) ?? $("a.open", row))?.focus({ preventScroll: true });
  }

  /* --- what can be done with a row: a copy beside each, because fifty in the page would be half of it ------------- */

  function dress(root) {
    const pattern = $("#acts")?.content.firstElementChild;
    const items = root.matches?.("li[data-may]") ? [root] : $$("li[data-may]", root);
    for (const item of pattern ? items : []) {
      const row = $(".row", item);
      if (!row || $(".acts", row)) continue;
      const acts = pattern.cloneNode(true);
      $$("[data-if]", acts).forEach((part) => { if (!item.dataset.may.includes(part.dataset.if)) part.remove(); });
      for (const part of $$("*", acts)) {
        for (const { name, value } of [...part.attributes]) {
          const own = value.replace(/^(\/inbox\/|\/threads\/|#row-)0\b/, `$1${item.id.slice(4)}`);
          if (own !== value) part.setAttribute(name, own);
        }
      }
      row.append(acts);
      window.htmx?.process(acts);
    }
  }
  dress(document);
  body.addEventListener("htmx:load", (event) => dress(event.detail.elt));

  /* --- the live version ----------------------------------------------------------------------------------------- */

  const live = $("#live");
  if (live) {
    let version = live.dataset.version;
    let wait = 2000;
    let timer = 0;
    const ask = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(`${live.dataset.url}?v=${version}`, { headers: { Accept: "application/json" }, cache: "no-store", redirect: "error" });
        if (answer.status === 200) {
          version = String((await answer.json()).version);
          htmx.trigger(body, "live");
        } else if (answer.status === 401) {
          live.dataset.state = "off";
          return;
        } else if (answer.status !== 204) {
          throw new Error(String(answer.status));
        }
        wait = 2000;
        live.dataset.state = "on";
      } catch {
        wait = Math.min(wait * 2, 60000);
        live.dataset.state = "waiting";
      }
      timer = setTimeout(ask, wait + Math.random() * 200);
    };
    timer = setTimeout(ask, wait);
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (!document.hidden) ask();
    });
  }

  /* --- keys ----------------------------------------------------------------------------------------------------- */

  const places = { i: "/inbox", c: "/choices", h: "/held", s: "/account", d: "/deals", p: "/contacts", f: "/find" };
  let waitingForPlace = false;

  const ROW = ".row, #choices .choice"; // of a list, or a conversation that needs a choice
  const OPENS = "a.open, h2 a";
  const rows = () => $$(ROW);
  const current = () => rows().find((row) => row.classList.contains("here")) ?? document.activeElement?.closest?.(ROW) ?? null;
  const inThisTab = () => sessionStorage;
  function stand(next) {
    rows().forEach((row) => row.classList.toggle("here", row === next));
    stored("row", next.closest("li")?.id ?? "", inThisTab);
    next.scrollIntoView({ block: "nearest" });
  }
  function go(step) {
    const list = rows();
    if (!list.length) return stepMessage(step);
    const at = list.indexOf(current());
    const next = list[Math.max(0, Math.min(list.length - 1, at + step))];
    $(OPENS, next)?.focus({ preventScroll: true });
    stand(next);
  }
  // Whoever comes back to the list, from a conversation or after an undo, goes on where he was.
  document.addEventListener("click", (event) => {
    const row = event.target instanceof Element && event.target.closest("a.open")?.closest("li[data-may]");
    if (!row) return;
    stored("row", row.id, inThisTab);
    stored("list", $$("li[data-may]").map((item) => item.id.slice(4)).join(" "), inThisTab);
    stored("place", location.pathname + location.search, inThisTab);
  });
  const listed = () => (stored("list", undefined, inThisTab) ?? "").split(" ");
  // In a conversation: back to the tab or the search that it was opened from, and to the one before and the one after it there.
  const place = stored("place", undefined, inThisTab);
  const crumb = $("a.crumb");
  if (place && crumb && /^\/inbox(\?|$)/.test(place) && new URL(crumb.href).pathname === "/inbox" && listed().includes(location.pathname.split("/").pop())) {
    crumb.href = place;
    $$("[data-goes-back]").forEach((field) => { field.value = place; });
  }
  for (const step of $$("[data-step]")) {
    const ids = listed();
    const at = ids.indexOf(location.pathname.split("/").pop());
    const id = at < 0 ? undefined : ids[at + Number(step.dataset.step)];
    if (!id) continue;
    step.href = `/threads/${id}`;
    step.hidden = false;
    step.addEventListener("click", () => stored("row", `row-${id}`, inThisTab));
  }
  const cameFrom = document.referrer.startsWith(`${location.origin}/`) ? new URL(document.referrer).pathname : "";
  const kept = cameFrom === location.pathname || cameFrom.startsWith("/threads/") || performance.getEntriesByType("navigation")[0]?.type === "back_forward" ? stored("row", undefined, inThisTab) : "";
  if (kept) {
    const ids = listed();
    const at = ids.indexOf(kept.slice(4));
    const after = at < 0 ? [] : ids.slice(at + 1); // what was archived or deleted is gone: the next one takes its place
    const keptRow = [kept.slice(4), ...after].map((id) => $(`li[data-may]#row-${CSS.escape(id)} .row`)).find(Boolean);
    if (keptRow) stand(keptRow);
  }
  function stepMessage(step) {
    const list = $$("details.message > summary");
    if (!list.length) return;
    const at = list.indexOf(document.activeElement);
    list[Math.max(0, Math.min(list.length - 1, at < 0 ? list.length - 1 : at + step))].focus();
  }
  const press = (selector, root = document) => {
    const element = root && $(selector, root);
    if (element?.matches("input, textarea, select")) element.focus();
    else if (element) element.click();
    return Boolean(element);
  };
  // With rows ticked a key does to all of them what the bar above them does; without, to the row under the cursor, or to the page.
  const ticked = () => $$("li[data-may] .row input[type=checkbox]:checked").map((box) => box.closest("li[data-may]"));
  const onSelection = {
    e: () => press('#many button[value="archive"], #many button[value="unarchive"]'),
    s: () => press(`#many button[value="${ticked().every((item) => item.dataset.may.includes("c")) ? "private" : "company"}"]`),
    "#": () => press('#many button[value="delete"]'),
    l: () => {
      const menu = $("#many details.menu");
      if (menu) menu.open = true;
      return press("#find-many");
    },
  };
  const onRowOrPage = (name) =>
    (ticked().length && onSelection[name]?.()) || press(`[data-key="${name}"]`, current() ?? document) || press(`[data-key="${name}"]`);

  let lastTicked = null;
  function tick(range) {
    const row = current();
    const box = row && $('input[type="checkbox"]', row);
    if (!box) return;
    const list = rows();
    if (range && lastTicked) {
      const [from, to] = [list.indexOf(lastTicked), list.indexOf(row)].sort((a, b) => a - b);
      list.slice(from, to + 1).forEach((one) => { const inner = $('input[type="checkbox"]', one); if (inner) inner.checked = true; });
    } else {
      box.checked = !box.checked;
    }
    lastTicked = row;
    tellSelected();
  }

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    o: () => press(OPENS, current()),
    u: () => press('[data-key="u"]'),
    x: () => tick(false),
    X: () => tick(true),
    l: () => onRowOrPage("l"),
    n: () => onRowOrPage("n"),
    s: () => onRowOrPage("s"),
    e: () => onRowOrPage("e"),
    t: () => onRowOrPage("t"),
    "#": () => {
      if (current()?.closest("li[data-may]") && !ticked().length) tick(false);
      onRowOrPage("#");
    },
    z: () => press("#toasts .toast:last-child [data-undo]"),
    c: () => press('[data-key="c"]'),
    "[": () => press('[data-key="["]'),
    "]": () => press('[data-key="]"]'),
    "/": () => $("#search")?.focus(),
    "?": () => openDialog("keys"),
  };

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      openDialog("palette");
      return;
    }
    if (event.key === "Escape") {
      const menu = $("details.menu[open]");
      if (menu) {
        menu.open = false;
        $("summary", menu)?.focus();
      } else if (field && !field.closest("dialog")) {
        field.blur();
      }
      return;
    }
    if (event.key === "Enter" && field?.matches("input[type=search]")) {
      const first = $(".found button.entry, .found a.entry", field.closest(".finder") ?? document.createElement("div"));
      if (first) {
        event.preventDefault();
        first.click();
        return;
      }
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const finder = event.target.closest?.(".finder");
      if (!finder) return;
      const list = $$(".found button.entry, .found a.entry", finder);
      const at = list.indexOf(document.activeElement);
      const next = event.key === "ArrowDown" ? list[at + 1] ?? list[0] : at > 0 ? list[at - 1] : $("input", finder);
      if (next) {
        event.preventDefault();
        next.focus();
      }
      return;
    }
    if (event.key === "Enter" && event.target === body && !$("dialog[open]") && press(OPENS, current())) return;
    if (field || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]") || body.dataset.keys === "off") return;
    if (waitingForPlace) {
      waitingForPlace = false;
      if (places[event.key]) {
        event.preventDefault();
        location.href = places[event.key];
      }
      return;
    }
    if (event.key === "g") {
      waitingForPlace = true;
      setTimeout(() => { waitingForPlace = false; }, 1200);
      return;
    }
    if (/^[1-9]$/.test(event.key)) {
      const choice = $$("[data-candidate]", current() ?? document)[Number(event.key) - 1];
      if (choice) choice.click();
      return;
    }
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
})();
