"use strict";
// Pages follow the home: where something was committed, what the page shows is fetched anew. Without
// this script a page shows the home as it was when it was loaded.
(() => {
  const live = document.getElementById("live");
  const words = JSON.parse(document.getElementById("words").textContent);
  const busy = () => document.activeElement && document.activeElement.closest("form, .tools");
  let records = document.body.dataset.records, waits = false;
  const renew = async () => {
    if (document.querySelector("form[method=post]") || busy()) { waits = true; return; }
    waits = false;
    const answer = await fetch(location.href, { headers: { "X-Live": "1" } });
    if (!answer.ok) { live.textContent = words.stale; live.className = "lost"; return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const place = scrollY;
    document.getElementById("content").replaceWith(page.getElementById("content"));
    document.body.dataset.records = records = page.body.dataset.records;
    window.dressTables && window.dressTables();
    scrollTo(0, place);
  };
  document.addEventListener("focusout", () => setTimeout(() => waits && renew(), 0));
  const source = new EventSource("/events");
  source.addEventListener("head", (event) => {
    const told = JSON.parse(event.data);
    live.textContent = words.live;
    live.className = "";
    if (String(told.records) !== records || told.alarms !== document.body.dataset.alarms) {
      document.body.dataset.alarms = told.alarms;
      if (String(told.records) !== records || waits) renew();
    } else if (waits) renew();
  });
  source.onerror = () => { live.textContent = words.lost; live.className = "lost"; };
})();
