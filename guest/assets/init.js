"use strict";

// Nothing here begins with a slash: a proxy may serve all of this under a prefix of its own.

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  oauth2RedirectUrl: new URL("docs/oauth2-redirect", document.baseURI).href,
  // The badge would send the address of this service to validator.swagger.io.
  validatorUrl: null,
});
