local typedefs = require "kong.db.schema.typedefs"

return {
  name = "verdict",
  fields = {
    { protocols = typedefs.protocols_http },
    {
      config = {
        type = "record",
        fields = {
          { host = { type = "string", required = true } },
          { port = { type = "integer", required = true, default = 3000, between = { 1, 65535 } } },
          -- /sets/{set}/v1/gateway/forward-auth for another set than the default one.
          { path = { type = "string", required = true, default = "/v1/gateway/forward-auth", starts_with = "/" } },
          { tls = { type = "boolean", required = true, default = true } },
          { tls_verify = { type = "boolean", required = true, default = true } },
          -- An API key with the scope decide; a reference such as {vault://env/verdict-key} keeps it out of the configuration.
          { api_key = { type = "string", required = true, encrypted = true, referenceable = true } },
          { connect_timeout = { type = "integer", required = true, default = 1000, between = { 1, 60000 } } },
          { read_timeout = { type = "integer", required = true, default = 2000, between = { 1, 60000 } } },
        },
      },
    },
  },
}
