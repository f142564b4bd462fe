SwaggerUIBundle({
  url: "/api/v1/training/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  filter: true,
  // A token is kept in memory only, and nothing is asked of other hosts.
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
