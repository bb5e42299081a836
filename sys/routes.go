package sys

import "github.com/fastness-dev/fastness/engine"

// parts are the route tables of sys/, one for each file that has a subject.
var parts = []func() engine.Routes[System]{
	lifeRoutes,
	raftRoutes,
	wrappingRoutes,
	controlRoutes,
	mountRoutes,
	namespaceRoutes,
	deletionRoutes,
	remountRoutes,
	uiRoutes,
	policyRoutes,
	passwordRoutes,
	explainRoutes,
	capabilityRoutes,
	toolRoutes,
	leaseRoutes,
	rotateRoutes,
	auditRoutes,
	rootRoutes,
	rekeyRoutes,
	observeRoutes,
	counterRoutes,
	pprofRoutes,
	configRoutes,
	rawRoutes,
	specRoutes,
	quotaRoutes,
	lockedUserRoutes,
	mfaRoutes,
	snapshotRoutes,
}
