// Go's net/http: `client MODE CA`, MODE is h1, h2 or expect. Cases on standard input, statuses on standard output.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// slow pauses between the two halves of a body.
type slow struct{ parts [][]byte }

func (s *slow) Read(into []byte) (int, error) {
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	if len(s.parts) == 1 {
		time.Sleep(6 * time.Second)
	}
	n := copy(into, s.parts[0])
	s.parts = s.parts[1:]
	return n, nil
}

func main() {
	mode := os.Args[1]
	pem, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: mode == "h2",
		ExpectContinueTimeout: time.Second,
	}}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		name, method, url, key, framing, file, encoding := f[0], f[1], f[2], f[3], f[4], f[5], f[6]
		content, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		var body io.Reader = bytes.NewReader(content)
		switch framing {
		case "chunked":
			body = struct{ io.Reader }{body}
		case "slow":
			body = &slow{[][]byte{content[:8192], content[8192:16384]}}
		}
		request, err := http.NewRequest(method, url, body)
		if err != nil {
			panic(err)
		}
		request.Header.Set("x-key", key)
		if encoding != "" {
			request.Header.Set("content-encoding", encoding)
		}
		if mode == "expect" {
			request.Header.Set("expect", "100-continue")
		}
		answer, err := client.Do(request)
		if err != nil {
			fmt.Printf("%s\t%v\n", name, err)
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if (mode == "h2") != (answer.ProtoMajor == 2) {
			fmt.Printf("%s\t%s\n", name, answer.Proto)
			continue
		}
		fmt.Printf("%s\t%d\n", name, answer.StatusCode)
	}
}
