package main

import (
	"context"
	"fmt"
	"net"
	"reflect"

	"cloud.google.com/go/chat/apiv1/chatpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"
)

// invoke calls a method of the generated client by its name, with a request of its type
// that fill fills in.
func invoke(ctx context.Context, client chatpb.ChatServiceClient, name string, fill func(request any) error) (proto.Message, error) {
	method := reflect.ValueOf(client).MethodByName(name)
	if !method.IsValid() {
		return nil, fmt.Errorf("the generated client has no method %s", name)
	}
	request := reflect.New(method.Type().In(1).Elem())
	if err := fill(request.Interface()); err != nil {
		return nil, err
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), request})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	return results[0].Interface().(proto.Message), nil
}

// relayed is the service of Google Chat, each method of which asks the backend with the
// caller's credentials, through the generated messages: what comes out has been read and
// written by Go's protobuf and gRPC. An error, a status with its details, is handed on
// as it is.
func relayed(backend chatpb.ChatServiceClient) *grpc.ServiceDesc {
	service := chatpb.ChatService_ServiceDesc
	service.Methods = nil
	for _, method := range chatpb.ChatService_ServiceDesc.Methods {
		name := method.MethodName
		ask := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if came, ok := metadata.FromIncomingContext(ctx); ok {
				ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": came.Get("authorization")})
			}
			return invoke(ctx, backend, name, decode)
		}
		service.Methods = append(service.Methods, grpc.MethodDesc{MethodName: name, Handler: ask})
	}
	return &service
}

func relay(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: interop relay BACKEND CERTIFICATE")
	}
	connection, err := connect(args[0], args[1])
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(relayed(chatpb.NewChatServiceClient(connection)), nil)
	reflection.Register(server)
	fmt.Printf("listening at http://%s\n", listener.Addr())
	return server.Serve(listener)
}
