// Package cluster is what the nodes of one cluster say to each other, and over
// what: mutually authenticated TLS on a port of its own, one ordered stream of
// raft's messages per pair of nodes and direction, and HTTP/2 for the rows of a
// node that is far behind, for forwarded requests and for what nodes ask each
// other. It owns the cluster's certificate authority, a node's own certificate
// and the proof by which a node joins.
//
// It promises:
//   - Nobody but a member gets past the handshake: a certificate counts if one
//     of the cluster's authorities made it, now is within its time, and the id
//     in it is a member's. Names and addresses of hosts prove nothing and are
//     not looked at. A member that was removed is refused from then on, and
//     [Net.Drop] ends what is open.
//   - Who is not a member costs a bounded number of connections and a bounded
//     time, however many there are.
//   - Certificates and authorities change under way; no listener is opened anew.
//   - A forwarded request runs at the other node as if it had come there, or the
//     error says whether it can have been run. It is never forwarded twice.
//
// It does not know who is a member, where members are and what requests mean;
// those are functions it is given.
package cluster
