package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

type table struct {
	Identities map[string]struct {
		Subject string
		Scopes  []string
	}
	Steps []struct {
		ID, As, Method string
		Request, Set   json.RawMessage
		Save           map[string]string
	}
}

// refused is an error, as far as the client knows it: code, reason, domain and metadata.
type refused struct {
	Code     string            `json:"code"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata"`
}

func (r *refused) Error() string {
	return r.Code + " " + r.Reason
}

// read reads a file of JSON.
func read(file string, to any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// run makes the calls of the table, by an identity, a method and a request in ProtoJSON, and
// prints what came of each. The answer is ProtoJSON; an error that is not refused ends the run.
func (t *table) run(certificate string, call func(as, method string, request []byte) ([]byte, error)) error {
	saved := map[string]string{}
	out := json.NewEncoder(os.Stdout)
	for _, step := range t.Steps {
		if step.Set != nil {
			if err := set(os.Getenv("EMULATOR")+"/emulator/settings", step.Set, certificate); err != nil {
				return err
			}
			continue
		}
		text := string(step.Request)
		for name, value := range saved {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		outcome := map[string]any{"id": step.ID}
		answer, err := call(step.As, step.Method, []byte(text))
		var failure *refused
		if err == nil {
			var fields map[string]any
			if err := json.Unmarshal(answer, &fields); err != nil {
				return err
			}
			for name, path := range step.Save {
				saved[name] = at(fields, path)
			}
			outcome["answer"] = fields
		} else if errors.As(err, &failure) {
			outcome["error"] = failure
		} else {
			return err
		}
		if err := out.Encode(outcome); err != nil {
			return err
		}
	}
	return nil
}

// at is the text that is at a path of an answer, such as thread/name or attachment/0/name.
func at(answer any, path string) string {
	for _, part := range strings.Split(path, "/") {
		switch value := answer.(type) {
		case map[string]any:
			answer = value[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index >= len(value) {
				return ""
			}
			answer = value[index]
		}
	}
	text, _ := answer.(string)
	return text
}

func set(url string, settings []byte, certificate string) error {
	client, err := client(url, certificate)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPatch, url, bytes.NewReader(settings))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s: %s", url, answer.Status, text)
	}
	return nil
}

// client trusts the certificate, where the URL is one of TLS.
func client(url, certificate string) (*http.Client, error) {
	var pool *x509.CertPool
	if strings.HasPrefix(url, "https://") {
		var err error
		if pool, err = trusted(certificate); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}, nil
}
