// A PDF is fetched here and drawn elsewhere: in a frame of no origin, which can ask no server for anything and reach
// nothing of this page. It gets the bytes and says how many pages it drew; nothing else is taken from it.
const MOST_PAGES = 100000;

export async function showPdf(element) {
  const words = element.querySelector("[data-pdf-words]");
  try {
    const answer = await fetch(element.dataset.pdf);
    if (!answer.ok) throw new Error(`The viewer answered ${answer.status}.`);
    const bytes = await answer.arrayBuffer();
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.title = element.dataset.pdfTitle;
    frame.referrerPolicy = "no-referrer";
    window.addEventListener("message", (event) => {
      if (event.source !== frame.contentWindow) return;
      if (event.data === "ready") frame.contentWindow.postMessage(bytes, "*", [bytes]); // its origin has no name
      else if (event.data === "damaged") words.textContent = "This PDF is damaged or protected. Download it to open it elsewhere.";
      else if (Number.isInteger(event.data) && event.data > 0 && event.data < MOST_PAGES) {
        words.textContent = event.data === 1 ? "1 page" : `${event.data} pages`;
        element.dataset.pages = event.data;
      }
    });
    frame.src = element.dataset.pdfFrame;
    element.append(frame);
  } catch (error) {
    words.textContent = `The PDF could not be fetched. ${error.message}`;
  }
}
