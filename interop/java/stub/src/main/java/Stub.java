import com.google.chat.v1.ChatServiceGrpc;
import com.google.gson.JsonObject;
import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.lang.reflect.InvocationTargetException;
import java.net.URI;
import java.util.concurrent.Executor;

/**
 * Runs the table of calls with the stub that grpc-java generates from our protos.
 *
 * <p>Usage: Stub TABLE ENDPOINT TOKENS, by a file with a token for each identity. Prints a line of
 * JSON for each call: its id, and the answer or the error. The certificate comes from
 * javax.net.ssl.trustStore.
 */
public final class Stub {
  /** Calls the method of the generated stub. */
  private static Message call(ChatServiceGrpc.ChatServiceBlockingStub stub, String method, String json)
      throws Exception {
    Message request = Table.request(method, json);
    try {
      return (Message) stub.getClass().getMethod(Table.camel(method), request.getClass()).invoke(stub, request);
    } catch (InvocationTargetException thrown) {
      // What the method itself throws.
      throw (Exception) thrown.getCause();
    }
  }

  public static void main(String[] args) throws Exception {
    URI endpoint = URI.create(args[1]);
    JsonObject tokens = Table.read(args[2]);
    ChannelCredentials credentials =
        endpoint.getScheme().equals("http") ? InsecureChannelCredentials.create() : TlsChannelCredentials.create();
    ManagedChannel channel = Grpc.newChannelBuilder(endpoint.getAuthority(), credentials).build();
    ChatServiceGrpc.ChatServiceBlockingStub stub = ChatServiceGrpc.newBlockingStub(channel);
    Table.run(
        Table.read(args[0]),
        URI.create(System.getenv("EMULATOR")),
        (identity, method, request) ->
            call(stub.withCallCredentials(new Bearer(tokens.get(identity).getAsString())), method, request),
        Stub::described);
    channel.shutdownNow();
  }

  private static JsonObject described(Exception thrown) throws Exception {
    if (!(thrown instanceof StatusRuntimeException)) {
      throw thrown;
    }
    StatusRuntimeException error = (StatusRuntimeException) thrown;
    ErrorInfo info = ErrorInfo.getDefaultInstance();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        info = detail.unpack(ErrorInfo.class);
      }
    }
    String code = error.getStatus().getCode().name();
    return Table.error(code, info.getReason(), info.getDomain(), info.getMetadataMap());
  }

  private static final class Bearer extends CallCredentials {
    private final String token;

    Bearer(String token) {
      this.token = token;
    }

    @Override
    public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
      Metadata metadata = new Metadata();
      metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
      applier.apply(metadata);
    }
  }

  private Stub() {}
}
