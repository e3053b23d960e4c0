package v1

// HeaderStaging is in every answer of a relay that is set to staging, and says
// what happens to mail there.
const HeaderStaging = "X-Postrider-Staging"
