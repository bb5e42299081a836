// Package oidc runs an application that knows nothing of us, a relying party
// over a library of others, against our OpenID provider over TLS. The
// application is a module of its own, in party, so that the product does not
// depend on its library.
package oidc
