// The query box: sends the script, shows the answer as it came.
const form = document.getElementById("ask");
if (form) {
  const script = form.elements.namedItem("script");
  const answer = document.getElementById("answer");
  const ask = async () => {
    answer.textContent = "…";
    try {
      const response = await fetch(form.getAttribute("action"), { method: "POST", body: script.value, headers: { "Content-Type": "text/plain" } });
      const reply = await response.json();
      answer.textContent = response.ok ? shown(reply) : reply.rendered || reply.detail + (reply.fix ? "\n\nfix: " + reply.fix : "");
    } catch (error) {
      answer.textContent = "lens did not answer: " + error.message;
    }
  };
  const shown = (reply) => [
    ...reply.printed,
    JSON.stringify(reply.value, null, 2),
    "",
    `${reply.cost.elapsed_ms.toFixed(2)} ms · ${reply.cost.steps} steps · captured at ${reply.captured_at}`,
    ...reply.coverage.map((gap) => `${gap.skill}: ${gap.source} is ${gap.status}: ${gap.fix}`),
  ].join("\n");
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  script.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); } });
  for (const example of document.querySelectorAll("[data-script]")) {
    example.addEventListener("click", (event) => { event.preventDefault(); script.value = example.dataset.script; ask(); });
  }
}
