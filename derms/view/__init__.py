"""The API's picture of the live controller, taken from memory: `derms.api.view` on fleet, loop and recorder."""
