package policy

// The texts of the policies that exist before anyone wrote one. Only Default may
// be changed by an operator.

// Default is what every token may do unless it was made without it: see to
// itself, its leases, its cubbyhole and its wrapped answers.
const Default = `# The token itself: look at it, prolong it, end it.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# What the token may do, on given paths and as a whole (for user interfaces).
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# The entity behind the token.
path "identity/entity/id/{{identity.entity.id}}" {
    capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
    capabilities = ["read"]
}

# Leases, whose ids only their holder knows. sys/renew is the old spelling.
path "sys/renew" {
    capabilities = ["update"]
}
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/leases/lookup" {
    capabilities = ["update"]
}

# The token's own cubbyhole.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

# Response wrapping.
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# Hashing of given data.
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}

# The state of an own request that waits for a control group.
path "sys/control-group/request" {
    capabilities = ["update"]
}

# Signing in to other applications through the OIDC provider.
path "identity/oidc/provider/+/authorize" {
    capabilities = ["read", "update"]
}
`

// ResponseWrapping is what a wrapping token may do.
const ResponseWrapping = `path "cubbyhole/response" {
    capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
`

// ControlGroupText is what a token that waits for a control group may do.
const ControlGroupText = `path "cubbyhole/control-group" {
    capabilities = ["create", "read", "update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
`
