"use strict";
// Shows the problems that have all words of the search, and the wanted outcome and benchmark.
const search = document.getElementById("search");
const outcome = document.getElementById("outcome");
const benchmark = document.getElementById("benchmark");
const count = document.getElementById("count");
const problems = Array.from(document.querySelectorAll("details.problem"));
const texts = problems.map((one) => one.textContent.toLowerCase());

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  problems.forEach((one, at) => {
    const fits =
      (!outcome.value || one.dataset.outcome === outcome.value) &&
      (!benchmark.value || one.dataset.benchmark === benchmark.value) &&
      words.every((word) => texts[at].includes(word));
    one.hidden = !fits;
    shown += fits;
  });
  count.textContent = `${shown} of ${problems.length} problems`;
}

for (const field of [search, outcome, benchmark]) field.addEventListener("input", show);
show();
