// A query cut into words for the eye: what each is painted as. Whether it means something, the server decides.
const WORD = /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[<>!=]=?|<>|[(),]|(?:[^\s()<>=!,"']|(?<=\.)"(?:[^"\\]|\\.)*")+|\s+/g;
const JOINS = new Set(["and", "or", "not", "in", "has", "contains", "exists"]);
const FIELD = /^(?:(?:config|metrics|git|env)\.|(?:id|name|project|experiment|status|started|ended|updated|heartbeat|duration|tags|notes|owner|host|command|archived)$|(?:best|min|max|last|count)$)/i;

// [{text, start, kind: "field" | "operator" | "value" | "space"}], together the whole text.
export function wordsOf(text) {
  const words = [];
  let valueDue = false; // behind a comparison
  for (const found of text.matchAll(WORD)) {
    const word = found[0];
    const kind = kindOf(word, valueDue);
    if (kind === "operator") valueDue = /^(?:[<>!=]|has$|contains$)/i.test(word) || (valueDue && /^[(,]$/.test(word)) || /^in$/i.test(word);
    else if (kind !== "space") valueDue = false;
    words.push({ text: word, start: found.index, kind });
  }
  return words;
}

function kindOf(word, valueDue) {
  if (/^\s/.test(word)) return "space";
  if (/^[<>!=(),]/.test(word) || JOINS.has(word.toLowerCase())) return "operator";
  if (!valueDue && FIELD.test(word)) return "field";
  return "value";
}
