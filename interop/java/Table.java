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
  /**
   * Makes the call of a method, as an identity, with a request in ProtoJSON; throws
   * NoSuchMethodException where the client does not have the method.
   */
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

  /** A method's request, of its generated class, by ProtoJSON. */
  static Message request(String method, String json) throws Exception {
    Class<?> type = Class.forName("com.google.chat.v1." + method + "Request");
    Message.Builder builder = (Message.Builder) type.getMethod("newBuilder").invoke(null);
    JsonFormat.parser().merge(json, builder);
    return builder.build();
  }

  /** The name that Java has for a method. */
  static String camel(String method) {
    return Character.toLowerCase(method.charAt(0)) + method.substring(1);
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
          for (Map.Entry<String, JsonElement> entry : step.getAsJsonObject("save").entrySet()) {
            JsonElement value = answer;
            for (String part : entry.getValue().getAsString().split("/")) {
              value =
                  value.isJsonArray()
                      ? value.getAsJsonArray().get(Integer.parseInt(part))
                      : value.getAsJsonObject().get(part);
            }
            saved.put(entry.getKey(), value.getAsString());
          }
        }
        outcome.add("answer", answer);
      } catch (NoSuchMethodException missing) {
        outcome.addProperty("missing", true);
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
