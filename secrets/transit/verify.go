package transit

import (
	"github.com/fastness-dev/fastness/engine"
)

// proofs are what verify takes, in the order in which it looks for them.
var proofs = []struct {
	name string
	of   func(*item) *string
}{
	{"signature", func(it *item) *string { return it.signature }},
	{"hmac", func(it *item) *string { return it.hmac }},
	{"cmac", func(it *item) *string { return it.cmac }},
}

// proofOf is the kind of proof that all items bring.
func proofOf(items []item) (string, error) {
	for _, p := range proofs {
		if text(p.of(&items[0])) == "" {
			continue
		}
		for i := range items {
			if text(p.of(&items[i])) == "" {
				return "", engine.Bad("some elements of batch_input are missing '%s'", p.name)
			}
		}
		return p.name, nil
	}
	return "", engine.Bad("neither a 'signature' nor an 'hmac' were given to verify")
}

func (*Engine) verify(v engine.View, req signRequest) (*engine.Answer, error) {
	items, err := req.items()
	if err != nil {
		return nil, err
	}
	proof, err := proofOf(items)
	if err != nil {
		return nil, err
	}
	one, err := req.verifier(v, proof)
	if err != nil {
		return nil, err
	}
	if !req.batch() {
		return single(one(&items[0]))
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = one(&items[i])
	}
	return batched(items, outcomes, `"valid":false,`)
}

// verifier is how one item with a kind of proof is verified.
func (req *signRequest) verifier(v engine.View, proof string) (func(*item) outcome, error) {
	switch proof {
	case "hmac":
		h, err := macHash(req.algorithm())
		if err != nil {
			return nil, err
		}
		k, err := find(v, req.Name, noKey)
		if err != nil {
			return nil, err
		}
		return func(it *item) outcome { return verifyHMAC(v, k, h, it) }, nil
	case "cmac":
		if err := checkLength(req.MACLength); err != nil {
			return nil, err
		}
		k, err := find(v, req.Name, noKey)
		if err != nil {
			return nil, err
		}
		if !k.kind().macs {
			return nil, engine.Bad("key type %s does not support CMAC", k.Type)
		}
		return func(it *item) outcome { return verifyCMAC(v, k, req.MACLength, it) }, nil
	}
	o, err := req.options()
	if err != nil {
		return nil, err
	}
	k, err := find(v, req.Name, "signature verification key not found")
	if err != nil {
		return nil, err
	}
	if !k.kind().signs {
		return nil, engine.Bad("key type %s does not support verification", k.Type)
	}
	return func(it *item) outcome { return verifySignature(v, k, o, it) }, nil
}

func verifySignature(v engine.View, k *key, o signOptions, it *item) outcome {
	input, context, err := it.ready()
	if err != nil {
		return failed(err)
	}
	n, encoded, err := cutText(*it.signature, "signature", nil)
	if err != nil {
		return failed(err)
	}
	if n, err = k.toUndo(n, "signature"); err != nil {
		return failed(err)
	}
	sig, err := o.encoding().DecodeString(encoded)
	if err != nil {
		return outcome{err: "invalid base64 signature value"}
	}
	e, err := k.version(v, n)
	if err != nil {
		return failed(err)
	}
	s, err := k.signer(e, context)
	if err != nil {
		return failed(err)
	}
	valid, err := s.verify(o, input, sig)
	if err != nil {
		return failed(err)
	}
	return outcome{valid: &valid}
}
