package cli

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A sealed file is one line of JSON, which says which key opens it, and then
// pieces of AES-256-GCM: all of pieceSize but the last, each with its tag. The
// data key is drawn for the file and encrypted by the server; a piece's nonce is
// its number and whether it is the last, and the line is everybody's associated
// data. So pieces cannot be changed, left out, repeated or put in another order,
// a file cannot be cut, and memory does not grow with it.
const (
	pieceSize   = 64 << 10
	sealedMagic = "fastness-sealed-1"
	maxHeadLine = 64 << 10
)

type sealedHead struct {
	Format string `json:"format"`
	Key    string `json:"key"` // MOUNT/keys/NAME
	Data   string `json:"data_key"`
}

var errSealed = errors.New("it was changed or cut, or is no file of this key")

func bindTransitEncryptFile(f *flags) action {
	out := f.text("out", "", "`File` to write; FILE.sealed when not given, - for standard output.")
	return func(c *call) error {
		if err := c.want(2, 2); err != nil {
			return err
		}
		mount, name, ok := cutKeyPath(c.path(0))
		if !ok {
			return local("Expected a path of the form MOUNT/keys/NAME, got %q", c.path(0))
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := cl.Write(c.ctx, mount+"datakey/plaintext/"+name, []byte(`{"bits":256}`))
		if err != nil {
			return remote("Error drawing a data key of %s: %w", c.path(0), err)
		}
		d := dataOf(a)
		aead, err := fileCipher(d.text("plaintext"))
		if err != nil {
			return remote("Error reading the data key: %w", err)
		}
		head, err := json.Marshal(sealedHead{sealedMagic, c.path(0), d.text("ciphertext")})
		if err != nil {
			return local("Error encoding the head: %w", err)
		}
		return c.convert(c.arg(1), orElse(*out, c.arg(1)+".sealed"), func(w io.Writer, r io.Reader) error {
			if _, err := w.Write(append(head, '\n')); err != nil {
				return err
			}
			return sealPieces(aead, head, w, r)
		})
	}
}

func bindTransitDecryptFile(f *flags) action {
	out := f.text("out", "", "`File` to write; FILE without .sealed when not given, - for standard output.")
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		to := *out
		if to == "" {
			var ok bool
			if to, ok = strings.CutSuffix(c.arg(0), ".sealed"); !ok {
				return local("Say with -out where to write: %s does not end in .sealed", c.arg(0))
			}
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		return c.convert(c.arg(0), to, func(w io.Writer, r io.Reader) error {
			line, err := readHead(r)
			if err != nil {
				return err
			}
			var head sealedHead
			if err := json.Unmarshal(line, &head); err != nil || head.Format != sealedMagic {
				return errors.New("it is no file that encrypt-file made")
			}
			mount, name, ok := cutKeyPath(head.Key)
			if !ok {
				return fmt.Errorf("it names the key %q", head.Key)
			}
			a, err := cl.Write(c.ctx, mount+"decrypt/"+name, body(object{"ciphertext": head.Data}))
			if err != nil {
				return fmt.Errorf("decrypt its data key: %w", err)
			}
			aead, err := fileCipher(dataOf(a).text("plaintext"))
			if err != nil {
				return err
			}
			return openPieces(aead, line, w, r)
		})
	}
}

// readHead reads a line, byte by byte: what follows is for others to read.
func readHead(r io.Reader) ([]byte, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxHeadLine {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return nil, errors.New("it is no file that encrypt-file made")
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
	return nil, errors.New("it is no file that encrypt-file made")
}

func fileCipher(key string) (cipher.AEAD, error) {
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(b) != 32 {
		return nil, errors.New("the data key has not 256 bits")
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// pieceNonce is that of a piece by its number.
func pieceNonce(n uint64, last bool) []byte {
	nonce := binary.BigEndian.AppendUint64(make([]byte, 0, 12), n)
	if last {
		return append(nonce, 0, 0, 0, 1)
	}
	return append(nonce, 0, 0, 0, 0)
}

// pieces reads pieces of a size one ahead, so that the last is known to be it.
func pieces(r io.Reader, size int, f func(n uint64, piece []byte, last bool) error) error {
	now, next := make([]byte, size), make([]byte, size)
	have, err := io.ReadFull(r, now)
	for n := uint64(0); ; n++ {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		ahead, aheadErr := 0, io.EOF
		if err == nil {
			ahead, aheadErr = io.ReadFull(r, next)
		}
		last := ahead == 0 && errors.Is(aheadErr, io.EOF)
		if err := f(n, now[:have], last); err != nil || last {
			return err
		}
		now, next, have, err = next, now, ahead, aheadErr
	}
}

func sealPieces(a cipher.AEAD, head []byte, w io.Writer, r io.Reader) error {
	var sealed []byte
	return pieces(r, pieceSize, func(n uint64, piece []byte, last bool) error {
		sealed = a.Seal(sealed[:0], pieceNonce(n, last), piece, head)
		_, err := w.Write(sealed)
		return err
	})
}

func openPieces(a cipher.AEAD, head []byte, w io.Writer, r io.Reader) error {
	var opened []byte
	return pieces(r, pieceSize+a.Overhead(), func(n uint64, piece []byte, last bool) (err error) {
		if opened, err = a.Open(opened[:0], pieceNonce(n, last), piece, head); err != nil {
			return errSealed
		}
		_, err = w.Write(opened)
		return err
	})
}

// convert makes one file of another. What is not finished is not left behind
// under the name that was asked for.
func (c *call) convert(from, to string, f func(io.Writer, io.Reader) error) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return local("Error opening %s: %w", from, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return local("Error opening %s: %w", from, err)
	}
	shown := &progress{ui: c.ui, in: in, size: info.Size(), on: isTerminal(c.ui.stderr)}
	defer shown.end()
	if to == "-" {
		if err := f(c.ui.stdout, shown); err != nil {
			return remote("Error reading %s: %w", from, err)
		}
		return nil
	}
	part, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-*")
	if err != nil {
		return local("Error writing %s: %w", to, err)
	}
	defer os.Remove(part.Name())
	if err := errors.Join(f(part, shown), part.Sync(), part.Close()); err != nil {
		return remote("Error reading %s: %w", from, err)
	}
	if err := os.Rename(part.Name(), to); err != nil {
		return local("Error writing %s: %w", to, err)
	}
	shown.end()
	c.ui.success("Success! Wrote %s", to)
	return nil
}

// A progress shows on a terminal how much of a file has been read.
type progress struct {
	ui    *ui
	in    io.Reader
	size  int64
	on    bool
	read  int64
	shown time.Time
}

// often is how long a shown number stands at least.
const often = 100 * time.Millisecond

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.read += int64(n)
	if now := time.Now(); p.on && p.size > 0 && now.Sub(p.shown) > often {
		p.shown = now
		const wide = 30
		done := int(min(p.read, p.size) * wide / p.size)
		p.ui.errText(fmt.Sprintf("\r[%s%s] %3d%%", strings.Repeat("=", done), strings.Repeat(" ", wide-done), min(p.read, p.size)*100/p.size))
	}
	return n, err
}

// end clears the line.
func (p *progress) end() {
	if p.on && !p.shown.IsZero() {
		p.ui.errText("\r\x1b[K")
	}
	p.on = false
}
