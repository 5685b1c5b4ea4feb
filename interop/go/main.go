// The parts of the matrix that are written in Go.
//
//	interop stub TABLE ENDPOINT TOKENS CERTIFICATE   runs the table of calls with the generated stub,
//	                                                 and changes settings at the emulator that EMULATOR names
//	interop official TABLE ENDPOINT KEY CERTIFICATE  does the same with Google's client of the discovery document
//	interop relay BACKEND CERTIFICATE                is a gRPC service that asks the backend
//	interop gateway BACKEND [CERTIFICATE]            is grpc-gateway in front of the backend
//	interop streams                                  is grpc-gateway in front of a service that streams
//
// The three servers print where they listen.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	// What is in an error's details is printed by its type.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
)

func main() {
	commands := map[string]func(args []string) error{
		"stub": stub, "official": official, "relay": relay, "gateway": gateway, "streams": streams,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fatal(fmt.Errorf("usage: interop stub|official|relay|gateway|streams ..."))
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// connect returns a connection to an http or https URL; the certificate is what an https
// server must show.
func connect(url string, certificate string) (*grpc.ClientConn, error) {
	address, secure := strings.CutPrefix(url, "https://")
	if !secure {
		return grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	pool, err := trusted(certificate)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
}

func trusted(certificate string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", certificate)
	}
	return pool, nil
}
