const font = "system-ui, sans-serif";
Redoc.init("/openapi.json", {
  hideDownloadButton: false,
  expandResponses: "200,202",
  sortRequiredPropsFirst: true,
  theme: {
    typography: { fontFamily: font, headings: { fontFamily: font }, code: { fontFamily: "ui-monospace, monospace" } },
    logo: { maxHeight: "0" },
  },
}, document.getElementById("reference"));
