
// ---- failures: texts that are unfolded by links, by buttons and for paper

function failures() {
  const texts = [...document.querySelectorAll("details.text")];
  const reveal = () => {
    const article = document.getElementById(location.hash.slice(1));
    if (article?.matches("article")) {
      for (const text of article.querySelectorAll("details.text")) text.open = true;
      article.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
  // A link to the part that is already in the address changes nothing, but its text may have been folded since.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.('a[href^="#failure-"]')?.hash === location.hash) reveal();
  });
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const text of texts) if (!text.open) { folded.push(text); text.open = true; }
  });
  addEventListener("afterprint", () => { for (const text of folded.splice(0)) text.open = false; });
  const first = document.querySelector(".failures");
  if (!first || texts.length < 2) return;
  const tools = make("p", { className: "tools" });
  for (const [label, open] of [["Unfold all texts", true], ["Fold all texts", false]]) {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => { for (const text of texts) text.open = open; });
    tools.append(button);
  }
  first.before(tools);
}
