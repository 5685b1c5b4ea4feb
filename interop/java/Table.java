import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The table of calls, for any client: what is asked in which order, and how it is told. */
final class Table {
  /** Makes the call of a method, as an identity, with a request in ProtoJSON. */
  interface Call {
    Message make(String identity, String method, String request) throws Exception;
  }

  /** What the client knows of an error; throws what is no refusal. */
  interface Described {
    JsonObject of(Exception error) throws Exception;
  }

  static JsonObject read(String file) throws IOException {
    return JsonParser.parseString(Files.readString(Path.of(file))).getAsJsonObject();
  }

  /** Makes the calls and prints what came of each; settings are changed at the emulator's URL. */
  static void run(JsonObject table, URI emulator, Call call, Described described) throws Exception {
    Map<String, String> saved = new HashMap<>();
    for (JsonElement element : table.getAsJsonArray("steps")) {
      JsonObject step = element.getAsJsonObject();
      if (step.has("set")) {
        set(emulator.resolve("/emulator/settings"), step.get("set").toString());
        continue;
      }
      String request = step.get("request").toString();
      for (Map.Entry<String, String> value : saved.entrySet()) {
        request = request.replace("{" + value.getKey() + "}", value.getValue());
      }
      JsonObject outcome = new JsonObject();
      outcome.add("id", step.get("id"));
      try {
        Message made = call.make(step.get("as").getAsString(), step.get("method").getAsString(), request);
        JsonObject answer = JsonParser.parseString(JsonFormat.printer().print(made)).getAsJsonObject();
        if (step.has("save")) {
          step.getAsJsonObject("save")
              .entrySet()
              .forEach(entry -> saved.put(entry.getKey(), answer.get(entry.getValue().getAsString()).getAsString()));
        }
        outcome.add("answer", answer);
      } catch (Exception error) {
        outcome.add("error", described.of(error));
      }
      System.out.println(new Gson().toJson(outcome));
    }
  }

  static JsonObject error(String code, String reason, String domain, Map<String, String> metadata) {
    JsonObject error = new JsonObject();
    error.addProperty("code", code);
    error.addProperty("reason", reason == null ? "" : reason);
    error.addProperty("domain", domain == null ? "" : domain);
    error.add("metadata", new Gson().toJsonTree(metadata == null ? Map.of() : metadata));
    return error;
  }

  private static void set(URI uri, String settings) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(uri)
            .header("Content-Type", "application/json")
            .method("PATCH", HttpRequest.BodyPublishers.ofString(settings))
            .build();
    HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200) {
      throw new IllegalStateException(answer.body());
    }
  }

  private Table() {}
}
