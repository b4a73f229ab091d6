/** Shows the description of the interface: with a way to try it at /docs, and to be read at /redoc. */

const toRead = location.pathname.endsWith("/redoc");

SwaggerUIBundle({
  url: "openapi.json", // beside this page, whatever is before it in the path
  dom_id: "#docs",
  deepLinking: true,
  supportedSubmitMethods: toRead ? [] : undefined,
  validatorUrl: null, // a service of strangers
});
