// Package wire is the compatibility contract: exchanges that were recorded on a
// server of Vault's wire, replayed over TCP against a freshly started server of
// ours and compared. A status, a header that the recording shows, a key, a type,
// null where there was an empty list: each of these is a failure. Sentences are
// compared where clients match on them.
//
// One file of testdata is one area and one server. To add an area, drop its
// recording there and add the set-up that the recording goes by. To try one:
//
//	go test ./test/wire -run Replay -args -file=/path/to/area.txt
//
// prints every difference, also those of wording.
//
// # Format
//
//	### title
//	> METHOD /path body   [token NAME; Header: value; no Header]
//	> Header: value                  (or "> token: NAME")
//	< status Header: value; Header: value
//	the body, cut where it says …
//	| {"type":"request", …           lines of the device at /dir/audit.log, or
//	| none
//
// "## text" begins a section and "#" a comment. The token is root unless told.
// Labels (TOKEN1, ACCESSOR2, UUID3 …) stand for what the server chose: they are
// bound at first sight in an answer and put in where they are sent later. TIME,
// N, REQ, PORT, VERSION and TEXT match anything of their kind. A title that ends in "(types)"
// compares types alone.
//
// Lines that begin with % are ours, and stand before the exchange they are for:
//
//	% server dev              what is started: dev (root token "root"), or raft
//	                          (on disk, not initialised); the first line, dev if none
//	% POST /path body [...]   set-up: sent, and must be answered with 2xx
//	% let NAME = auth.client_token   a label from the last answer of set-up
//	% let NAME = "text"       a label with a value of ours, or of another label
//	% advance 2h              the server's clock goes on; it stands still otherwise
//	% wait issue 3: why       the exchange waits: it is counted and not sent
//	% wait section issue 3: why   the rest of the section waits
//	% differ why              we answer otherwise than the recording, on purpose:
//	                          what stands below is our answer
//	% peer why                only the peer knows this, or its section ("% peer section
//	                          why"): it is not sent
//
// REPEAT(n,text) in a body that is sent stands for n times the text, and
// BASE64(text) in anything that is sent for its encoding.
//
// A recording of the peer is read as Vault would have it: versions, the product's
// name and the spelling of tokens are Vault's, and where the peer blames itself
// (500) for what the caller sent, 400 is asked for.
package wire
